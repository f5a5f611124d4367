//! `freshet verify`

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use freshet_operators::checkpoint::definitions;
use freshet_schema::Epoch;

use super::{Shown, path_override};
use crate::checkpoint::{Checkpoints, Loaded, Manifest};
use crate::config::{Config, Mistakes, format_time};
use crate::control::{Client, socket_path};
use crate::table::{Align, render};
use crate::verify::{Report, VIEWS, values, verify};

/// Exit code where the views are not what the events say.
const DIFFERS: u8 = 1;
/// Exit code where nothing could be compared.
const FAILED: u8 = 2;

/// Prove that the maintained state equals a batch computation over the archive
///
/// Takes a checkpoint (a running service makes one now; of a stopped one, the newest), recomputes each view from the archived events of
/// all epochs up to it by plain code that shares only the definitions of a row, a vector and a window with the dataflow, and says of each
/// view how many rows it has and which differ. Run it with the configuration of the service.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet verify --config configs/demo.toml --archive data/archive
  freshet verify --store data/store --archive data/archive --view video_sums --view popularity
  freshet verify --config configs/demo.toml --archive data/archive --values
  freshet verify --checkpoints /backup/checkpoints --archive /backup/archive --offline --json

Exit codes: 0 all views are equal, 1 some differ, 2 nothing could be compared.")]
pub struct Verify {
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that the service writes (store.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The archive, or s3://BUCKET/PREFIX (archive.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// The folder of the checkpoints, or s3://BUCKET/PREFIX (checkpoint.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// The checkpoint of this epoch, instead of a new one or the newest
    #[arg(long, value_name = "EPOCH")]
    epoch: Option<Epoch>,
    /// Only this view; may be given several times (`--list` names them)
    #[arg(long = "view", value_name = "NAME")]
    views: Vec<String>,
    /// Make every value of the store (lists, accounts, pools, related videos, cards) again, too: replays the whole archive
    #[arg(long)]
    values: bool,
    /// Name the views and end
    #[arg(long)]
    list: bool,
    /// Do not ask a running service for a new checkpoint
    #[arg(long)]
    offline: bool,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

impl Verify {
    pub fn run(self) -> ExitCode {
        match self.verify() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(DIFFERS),
            Err(error) => {
                match error.downcast_ref::<Mistakes>() {
                    Some(mistakes) => eprintln!("{mistakes}"),
                    None => eprintln!("error: {error:#}"),
                }
                ExitCode::from(FAILED)
            }
        }
    }

    fn verify(&self) -> anyhow::Result<bool> {
        if self.list {
            let rows: Vec<Vec<String>> =
                VIEWS.iter().map(|view| vec![view.name.to_owned(), view.about.to_owned()]).collect();
            write!(stdout(), "{}", render(&[("view", Align::Left), ("what it holds", Align::Left)], &rows))?;
            return Ok(true);
        }
        let mut overrides = path_override("store.dir", &self.store, "--store");
        overrides.extend(path_override("checkpoint.dir", &self.checkpoints, "--checkpoints"));
        overrides.extend(path_override("archive.dir", &self.archive, "--archive"));
        let config = Config::load(self.config.as_deref(), &overrides)?;
        let began = Instant::now();
        let mut report = run(&config, &self.views, self.epoch, self.offline, self.quiet)?;
        if self.values {
            self.values(&config, &mut report)?;
        }
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report.to_json())?;
            writeln!(out)?;
        } else {
            write!(out, "{}", words(&report, began.elapsed()))?;
        }
        Ok(report.holds())
    }

    fn values(&self, config: &Config, report: &mut Report) -> anyhow::Result<()> {
        let Some(archive) = &config.archive.dir else { return Ok(()) };
        // A checkpoint waits until the archive has what it covers.
        let settle = || if self.offline { Ok(()) } else { order(config).map(drop) };
        let mut shown = Shown::new(self.quiet);
        let (epoch, views) =
            values(config, archive.as_ref(), settle, &mut |at| shown.epoch(at)).context("--values")?;
        shown.end();
        report.values_of = Some(epoch);
        report.views.extend(views);
        Ok(())
    }
}

/// Verifies what a configuration names.
pub(super) fn run(
    config: &Config,
    views: &[String],
    epoch: Option<Epoch>,
    offline: bool,
    quiet: bool,
) -> anyhow::Result<Report> {
    let Some(archive) = &config.archive.dir else {
        bail!("archive.dir is not set: name the archive that the service writes with --archive DIR");
    };
    let asked = if offline || epoch.is_some() { None } else { order(config)? };
    let checkpoint = load(config, asked.or(epoch))?;
    let mut shown = Shown::new(quiet);
    let report = verify(&config.params, archive.as_ref(), checkpoint, views, &mut |at, _| shown.epoch(at));
    shown.end();
    report
}

/// Has a running service make a checkpoint; its epoch. None where no service runs.
fn order(config: &Config) -> anyhow::Result<Option<Epoch>> {
    if !config.store.dir.is_dir() {
        return Ok(None);
    }
    let Some(mut client) = Client::connect(&socket_path(&config.store.dir)?)? else { return Ok(None) };
    let made = client.checkpoint()?;
    Ok(made["last"]["epoch"].as_u64().map(Epoch))
}

fn load(config: &Config, epoch: Option<Epoch>) -> anyhow::Result<(Manifest, Loaded)> {
    let dir = &config.checkpoint.dir;
    let checkpoints = Checkpoints::open(dir, config.checkpoint.keep)?;
    let manifests = checkpoints.manifests()?;
    let found = match epoch {
        None => manifests.into_iter().next(),
        Some(epoch) => manifests.into_iter().find(|(of, _)| *of == epoch),
    };
    let Some((_, manifest)) = found else {
        let which = epoch
            .map_or_else(|| "no checkpoint".to_owned(), |epoch| format!("no checkpoint of epoch {epoch}"));
        bail!(
            "{}: there is {which}; a service makes one when it ends, and `freshet checkpoint now` has one made",
            dir.display()
        );
    };
    let manifest = manifest.map_err(anyhow::Error::msg)?;
    let mismatches = manifest.mismatches(&definitions(&config.params));
    if !mismatches.is_empty() {
        let what: Vec<String> = mismatches.iter().map(|(cut, how)| format!("the cut {cut}: {how}")).collect();
        bail!(
            "{}: the checkpoint of epoch {} was made by another configuration: {}; name that of the service with --config",
            dir.display(),
            manifest.epoch,
            what.join("; ")
        );
    }
    let loaded = checkpoints.load(&manifest)?.map_err(anyhow::Error::msg).context("the checkpoint")?;
    Ok((manifest, loaded))
}

/// The report for people.
pub(super) fn words(report: &Report, took: Duration) -> String {
    let row = |view: &crate::verify::ViewReport| {
        let verdict = match view.different {
            0 => "equal".to_owned(),
            n => format!("{n} DIFFERENT"),
        };
        vec![view.name.to_owned(), view.kept.to_string(), view.expected.to_string(), verdict]
    };
    let columns =
        [("view", Align::Left), ("rows", Align::Right), ("recomputed", Align::Right), ("", Align::Left)];
    let mut text = format!(
        "epoch {} (clock {}), {} archived records, {:.1} s\n\n{}",
        report.epoch,
        format_time(report.now),
        report.records,
        took.as_secs_f64(),
        render(&columns, &report.views.iter().map(row).collect::<Vec<_>>())
    );
    for view in report.views.iter().filter(|view| view.different > 0) {
        text.push_str(&format!("\n{}: the first of {} that differ\n", view.name, view.different));
        for difference in &view.differences {
            let or_none = |side: &Option<String>| side.clone().unwrap_or_else(|| "(no such row)".to_owned());
            text.push_str(&format!(
                "  {}\n    the state has   {}\n    the events say  {}\n",
                difference.key,
                or_none(&difference.kept),
                or_none(&difference.expected)
            ));
        }
    }
    if let Some(left_out) = &report.left_out {
        text.push_str(&format!("\nnot compared: {left_out}\n"));
    }
    if let Some(epoch) = report.values_of {
        text.push_str(&format!(
            "\nvalues of the store as of epoch {epoch}, each made again from the archive\n"
        ));
    }
    let different = report.views.iter().filter(|view| view.different > 0).count();
    text.push_str(&match different {
        0 => format!("\nall {} views are what the events say\n", report.views.len()),
        n => format!("\n{n} of {} views are NOT what the events say\n", report.views.len()),
    });
    text
}
