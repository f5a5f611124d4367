//! `freshet archive truncate`

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use freshet_archive::{Cut, Folder, Manifest};
use freshet_schema::event::Target;
use freshet_schema::{Epoch, Millis};

use crate::checkpoint::Checkpoints;
use crate::checkpoint::decide::Choice;
use crate::commands::KeptArgs;
use crate::config::format_time;
use crate::table::{Align, render};

/// Take out what lies behind an epoch, where the journal that it belongs to is lost
///
/// With a machine the journal is lost, and an archive in a bucket is mostly some epochs ahead of the newest checkpoint. The next run goes
/// on from that checkpoint and binds those epochs anew, so it goes on with the archive only when they are taken out: their rows are
/// gone for good, and come again from the input. All of it is one commit. Rows of epochs up to it stay as they are, and what was
/// forgotten stays forgotten. Without --yes it only says what would go.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet archive truncate s3://jobs/freshet/one --config configs/demo.toml
  freshet archive truncate s3://jobs/freshet/one --config configs/demo.toml --yes
  freshet archive truncate data/archive --to 4200 --yes

Exit codes: 0 done, or there was nothing to take out; 1 not done.")]
pub struct Truncate {
    /// The archive: a folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The last epoch that stays; without it that of the newest checkpoint that can be used
    #[arg(long, value_name = "EPOCH", conflicts_with_all = ["config", "store", "checkpoints"])]
    to: Option<Epoch>,
    #[command(flatten)]
    kept: KeptArgs,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// What is cut back to.
struct Goal {
    epoch: Epoch,
    /// The clock of the checkpoint that it is of, and where that is.
    checkpoint: Option<(Millis, PathBuf)>,
}

impl Truncate {
    pub fn run(self) -> anyhow::Result<()> {
        let goal = self.goal()?;
        // A look takes nothing over.
        let folder = Folder::open(&self.dir)?;
        let manifest = folder.existing()?;
        let Some(cut) = goal.plan(&folder, &manifest)? else {
            let through = manifest.through.epoch;
            return Ok(writeln!(
                stdout(),
                "nothing to do: the archive ends with epoch {through}{}",
                goal.reached()
            )?);
        };
        write!(stdout(), "{}", words(&goal, &manifest, &cut))?;
        drop(cut);
        if !self.yes {
            bail!("nothing was changed: these rows are gone for good when the same is run with --yes");
        }
        let folder = Folder::claim(&self.dir)?;
        let (held, _) = folder.own(|held| held.ok_or_else(|| folder.none()))?;
        // Whoever wrote it until now may have come further, or has done this.
        let held = match goal.plan(&folder, &held)? {
            Some(cut) => cut.commit(&folder)?,
            None => held,
        };
        Ok(writeln!(stdout(), "\nthe archive ends with epoch {} now", held.through.epoch)?)
    }

    fn goal(&self) -> anyhow::Result<Goal> {
        if let Some(epoch) = self.to {
            return Ok(Goal { epoch, checkpoint: None });
        }
        let config = self.kept.config()?;
        let dir = config.checkpoint.dir;
        let checkpoints = Checkpoints::open(&dir, config.checkpoint.keep)?;
        // Whatever the store holds now: it is made again where it was lost.
        match checkpoints.find(Some(Epoch(u64::MAX)))? {
            Choice::From(found, _) => {
                let checkpoint = Some((found.manifest.input.base.now, dir));
                Ok(Goal { epoch: found.manifest.epoch, checkpoint })
            }
            Choice::Refuse(passed) => Err(checkpoints.none_valid(&passed).into()),
            Choice::None => bail!(
                "{}: there is no checkpoint that the archive could be cut back to: name where they are (--config, --store, \
                 --checkpoints), or the last epoch that shall stay (--to)",
                dir.display()
            ),
        }
    }
}

impl Goal {
    /// What has to go, where the archive has the epoch as the checkpoint has it.
    fn plan(&self, folder: &Folder, manifest: &Manifest) -> anyhow::Result<Option<Cut>> {
        let Some(cut) = Cut::plan(folder, manifest, self.epoch)? else { return Ok(None) };
        match &self.checkpoint {
            Some((now, dir)) if self.epoch > manifest.begins_behind && cut.to.now != *now => bail!(
                "{}: its epoch {} is not that of the checkpoint in {} (its clock was {}, and the checkpoint's {}): they are of \
                 different runs, and nothing was taken out",
                folder.dir().display(),
                self.epoch,
                dir.display(),
                format_time(cut.to.now),
                format_time(*now)
            ),
            _ => Ok(Some(cut)),
        }
    }

    fn reached(&self) -> String {
        match &self.checkpoint {
            Some((_, dir)) => {
                format!(", and the newest checkpoint in {} is of epoch {}", dir.display(), self.epoch)
            }
            None => String::new(),
        }
    }
}

/// What goes, for people.
fn words(goal: &Goal, manifest: &Manifest, cut: &Cut) -> String {
    let mut text = format!(
        "epochs {} to {} go; what stays ends with epoch {}{}\n\n",
        cut.to.epoch.next(),
        manifest.through.epoch,
        cut.to.epoch,
        if goal.checkpoint.is_some() { ", the newest checkpoint's" } else { "" }
    );
    let columns = [("table", Align::Left), ("rows that go", Align::Right), ("of", Align::Right)];
    let row = |(table, rows): (&freshet_archive::Table, &u64)| {
        vec![table.folder().to_owned(), rows.to_string(), manifest.rows(*table).to_string()]
    };
    text += &render(&columns, &cut.rows.iter().map(row).collect::<Vec<_>>());
    for forgotten in manifest.forgotten.iter().filter(|forgotten| forgotten.epoch > cut.to.epoch) {
        text += &format!(
            "\n`freshet forget {}` was done in epoch {}, which goes: its rows stay out of the archive; run it again after the start, \
             as the checkpoint may be older\n",
            flags(forgotten.target),
            forgotten.epoch
        );
    }
    text
}

/// How `freshet forget` is told whom or what.
fn flags(target: Target) -> String {
    match target {
        Target::User { user_id } => format!("--user {user_id}"),
        Target::Video { video_id } => format!("--video {video_id}"),
        Target::Interaction { user_id, target_event_id } => {
            format!("--interaction {target_event_id} --user {user_id}")
        }
    }
}
