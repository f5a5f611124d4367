//! `freshet checkpoint`: what there is, what is in it, whether it holds, and one more now.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use freshet_schema::Epoch;

use super::KeptArgs;
use crate::checkpoint::{Checkpoints, Manifest};
use crate::config::format_time;
use crate::control::{self, Client};
use crate::table::{Align, render};

/// Look at the checkpoints of a service, check them, or have one made
///
/// list, show and verify read the folder, whether or not the service runs; now asks the running service.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet checkpoint list --store data/store
  freshet checkpoint show --store data/store
  freshet checkpoint verify 4200 --checkpoints /backup/checkpoints
  freshet checkpoint now --config configs/demo.toml")]
pub struct Checkpoint {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All checkpoints, newest first
    List(Place),
    /// What one holds, cut by cut
    Show(One),
    /// Read every file of one, and say whether it is what was written
    Verify(One),
    /// Have the running service make one, and wait for it
    Now(Place),
}

/// Where the checkpoints are.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    kept: KeptArgs,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Which one.
#[derive(Debug, Args)]
struct One {
    /// Its epoch; the newest without it
    #[arg(value_name = "EPOCH")]
    epoch: Option<Epoch>,
    #[command(flatten)]
    place: Place,
}

impl Place {
    fn open(&self) -> anyhow::Result<(Checkpoints, PathBuf)> {
        let checkpoint = self.kept.config()?.checkpoint;
        Ok((Checkpoints::open(&checkpoint.dir, checkpoint.keep)?, checkpoint.dir))
    }

    fn print(&self, json: &serde_json::Value, table: impl FnOnce() -> String) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, json)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", table())?;
        }
        Ok(())
    }
}

impl One {
    fn manifest(&self) -> anyhow::Result<(Checkpoints, Manifest)> {
        let (checkpoints, dir) = self.place.open()?;
        let manifests = checkpoints.manifests()?;
        let found = match self.epoch {
            None => manifests.into_iter().next(),
            Some(epoch) => manifests.into_iter().find(|(other, _)| *other == epoch),
        };
        match (found, self.epoch) {
            (Some((_, Ok(manifest))), _) => Ok((checkpoints, manifest)),
            (Some((_, Err(why))), _) => bail!(why),
            (None, Some(epoch)) => bail!(
                "{}: there is no checkpoint of epoch {epoch}; `freshet checkpoint list` names those there are",
                dir.display()
            ),
            (None, None) => bail!("{}: there is no checkpoint", dir.display()),
        }
    }
}

impl Checkpoint {
    pub fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List(place) => list(&place),
            Action::Show(one) => show(&one),
            Action::Verify(one) => verify(&one),
            Action::Now(place) => now(&place),
        }
    }
}

fn list(place: &Place) -> anyhow::Result<()> {
    let (checkpoints, dir) = place.open()?;
    let manifests = checkpoints.manifests()?;
    let json = manifests.iter().map(|(epoch, manifest)| match manifest {
        Ok(m) => serde_json::json!({
            "epoch": epoch.0, "generation": m.generation.0, "made_at_ms": m.made_at.0, "now_ms": m.input.base.now.0,
            "bytes": m.bytes(), "took_ms": m.took_ms, "stood_us": m.stood_us, "workers": m.workers,
        }),
        Err(why) => serde_json::json!({ "epoch": epoch.0, "unusable": why }),
    });
    place.print(&json.collect(), || {
        if manifests.is_empty() {
            return format!("{}: no checkpoints\n", dir.display());
        }
        let row = |(epoch, manifest): &(Epoch, Result<Manifest, String>)| match manifest {
            Ok(m) => vec![
                epoch.to_string(),
                m.generation.to_string(),
                format_time(m.made_at),
                megabytes(m.bytes()),
                format!("{} ms", m.took_ms),
                String::new(),
            ],
            Err(why) => {
                let mut row = vec![epoch.to_string()];
                row.resize(5, String::new());
                row.push(why.clone());
                row
            }
        };
        let columns = [
            ("epoch", Align::Right),
            ("generation", Align::Right),
            ("made at", Align::Left),
            ("MB", Align::Right),
            ("took", Align::Right),
            ("", Align::Left),
        ];
        render(&columns, &manifests.iter().map(row).collect::<Vec<_>>())
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn show(one: &One) -> anyhow::Result<()> {
    let (_, manifest) = one.manifest()?;
    one.place.print(&serde_json::to_value(&manifest)?, || {
        let base = &manifest.input.base;
        let head = format!(
            "checkpoint of epoch {} (clock {}), by generation {} of freshet {} with {} workers, at {}\n\
             took {} ms, workers stood still for {:.1} ms; {} partitions consumed\n\n",
            manifest.epoch,
            format_time(base.now),
            manifest.generation,
            manifest.freshet,
            manifest.workers,
            format_time(manifest.made_at),
            manifest.took_ms,
            manifest.stood_us as f64 / 1e3,
            base.partitions.len(),
        );
        let row = |(name, cut): (&String, &crate::checkpoint::manifest::Cut)| {
            let bytes = cut.file.as_ref().map_or(0, |file| file.bytes);
            vec![
                name.clone(),
                cut.codec.to_string(),
                cut.rows.to_string(),
                megabytes(cut.row_bytes),
                megabytes(bytes),
            ]
        };
        let right = Align::Right;
        let columns = [
            ("cut", Align::Left),
            ("form", right),
            ("rows", right),
            ("MB of rows", right),
            ("MB on disk", right),
        ];
        head + &render(&columns, &manifest.cuts.iter().map(row).collect::<Vec<_>>())
    })
}

fn verify(one: &One) -> anyhow::Result<()> {
    let (checkpoints, manifest) = one.manifest()?;
    let began = std::time::Instant::now();
    checkpoints.load(&manifest)?.map_err(anyhow::Error::msg)?;
    let files = manifest.cuts.values().filter(|cut| cut.file.is_some()).count();
    let json = serde_json::json!({
        "epoch": manifest.epoch.0, "files": files, "bytes": manifest.bytes(), "holds": true,
    });
    one.place.print(&json, || {
        format!(
            "the checkpoint of epoch {} holds: {files} files with {} MB, read in {:.1} s\n",
            manifest.epoch,
            megabytes(manifest.bytes()),
            began.elapsed().as_secs_f64()
        )
    })
}

fn now(place: &Place) -> anyhow::Result<()> {
    let config = place.kept.config()?;
    let dir = &config.store.dir;
    let socket =
        control::socket_path(dir).with_context(|| format!("store.dir = {:?}", dir.display().to_string()))?;
    let Some(mut client) = Client::connect(&socket)? else {
        bail!(
            "no service answers at {}: start it with `freshet run`; when it ends it makes a checkpoint by itself",
            socket.display()
        )
    };
    let status = client.checkpoint()?;
    place.print(&status, || {
        let number = |key: &str| status["last"][key].as_u64().unwrap_or(0);
        format!(
            "a checkpoint of epoch {}: {} MB in {} ms\n",
            number("epoch"),
            megabytes(number("bytes")),
            number("took_ms")
        )
    })
}
