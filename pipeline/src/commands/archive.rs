//! `freshet archive`: what is in it, fewer files, and fewer epochs.

mod truncate;

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use freshet_archive::{Folder, Manifest, Table, compact, day};
use serde_json::json;

use crate::config::{Config, format_time};
use crate::table::{Align, render};

/// Look at an archive, put its small files together, or cut it back to an epoch
///
/// `freshet run --archive DIR` writes one, in a folder or under s3://BUCKET/PREFIX. show reads it, whether or not the service runs;
/// compact (a running service does it by itself, unless archive.compact = false) and truncate are for a stopped one. In a bucket they
/// take the archive over, and a service that still writes it ends.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet archive show data/archive
  freshet archive show s3://jobs/freshet/one
  freshet archive compact data/archive
  freshet archive truncate s3://jobs/freshet/one --config configs/demo.toml")]
pub struct Archive {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Which epochs it holds, and how many rows and files of each table
    Show(Show),
    /// Put the small files of each day together
    Compact(Compact),
    /// Take out what lies behind an epoch, where the journal that it belongs to is lost
    Truncate(truncate::Truncate),
}

#[derive(Debug, Args)]
struct Show {
    /// The archive: a folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Read every file, and say whether it is what was written
    #[arg(long)]
    check: bool,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Compact {
    /// The archive: a folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The configuration that the service was started with, for archive.target_bytes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Archive {
    pub fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Show(show) => show.run(),
            Action::Compact(compact) => compact.run(),
            Action::Truncate(truncate) => truncate.run(),
        }
    }
}

/// Files, rows, bytes, first and last day.
type Sizes = BTreeMap<Table, (usize, u64, u64, u64, u64)>;

fn sizes(manifest: &Manifest) -> Sizes {
    let mut sizes = Sizes::new();
    for file in &manifest.files {
        let of = sizes.entry(file.table).or_insert((0, 0, 0, file.day, file.day));
        *of = (of.0 + 1, of.1 + file.rows, of.2 + file.bytes, of.3.min(file.day), of.4.max(file.day));
    }
    sizes
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let folder = Folder::open(&self.dir)?;
        let manifest = folder.existing()?;
        if self.check {
            for file in &manifest.files {
                // One that is gone was replaced meanwhile.
                folder.read(file)?;
            }
        }
        let sizes = sizes(&manifest);
        let mut out = stdout().lock();
        if self.json {
            let table = |(table, (files, rows, bytes, first, last)): (
                &Table,
                &(usize, u64, u64, u64, u64),
            )| {
                let about = json!({ "files": files, "rows": rows, "bytes": bytes, "first_day": day::name(*first),
                                    "last_day": day::name(*last) });
                (table.folder().to_owned(), about)
            };
            let tables: serde_json::Map<_, _> = sizes.iter().map(table).collect();
            let all = json!({
                "begins_behind": manifest.begins_behind.0, "through": manifest.through.epoch.0,
                "now_ms": manifest.through.now.0, "partitions": manifest.partitions, "forgotten": manifest.forgotten,
                "checked": self.check, "tables": tables,
            });
            serde_json::to_writer_pretty(&mut out, &all)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(
            out,
            "epochs {} to {} (clock {}), {} partitions, {} deletes carried out{}\n",
            manifest.begins_behind.next(),
            manifest.through.epoch,
            format_time(manifest.through.now),
            manifest.partitions.len(),
            manifest.forgotten.len(),
            if self.check { "; every file is what was written" } else { "" }
        )?;
        let row = |(table, (files, rows, bytes, first, last)): (&Table, &(usize, u64, u64, u64, u64))| {
            vec![
                table.folder().to_owned(),
                rows.to_string(),
                files.to_string(),
                format!("{:.2}", *bytes as f64 / 1e6),
                day::name(*first),
                day::name(*last),
            ]
        };
        let columns = [
            ("table", Align::Left),
            ("rows", Align::Right),
            ("files", Align::Right),
            ("MB", Align::Right),
            ("first day", Align::Left),
            ("last day", Align::Left),
        ];
        Ok(write!(out, "{}", render(&columns, &sizes.iter().map(row).collect::<Vec<_>>()))?)
    }
}

impl Compact {
    fn run(self) -> anyhow::Result<()> {
        let config = Config::load(self.config.as_deref(), &[])?;
        // Claiming makes the folder; a mistyped name must not.
        Folder::open(&self.dir)?.existing()?;
        let folder = Folder::claim(&self.dir)?;
        let (manifest, removed) = folder.own(|held| held.ok_or_else(|| folder.none()))?;
        let before = manifest.files.len();
        let (manifest, _) = compact::compact(&folder, manifest, config.archive.target_bytes, true)?;
        let after = manifest.files.len();
        let left_over =
            if removed > 0 { format!("; {removed} left-over files removed") } else { String::new() };
        Ok(writeln!(stdout(), "{before} files before, {after} now{left_over}")?)
    }
}
