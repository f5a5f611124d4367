//! `freshet forget`

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use freshet_schema::event::Target;
use freshet_schema::{EventId, UserId, VideoId};
use serde_json::{Value as Json, json};

use super::path_override;
use crate::config::Config;
use crate::control::{Client, socket_path};
use crate::forget;

/// Forget a user, a video or an interaction, and certify it
///
/// Appends a delete and waits until its epoch is in the store; takes the subject's rows out of the archive, the dead letters and the log
/// that Freshet writes (the last when the service is stopped); makes a checkpoint and drops the older ones; verifies what is left
/// against the archive; and says what was done, and what it cannot reach. Run it with the configuration of the service.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet forget --user 17 --config configs/demo.toml --archive data/archive
  freshet forget --video 1000002650 --store data/store --input data/log
  freshet forget --interaction 4711 --user 17 --json > certificate.json")]
pub struct Forget {
    /// The user; with --interaction, whose interaction
    #[arg(long, value_name = "USER", required_unless_present = "video")]
    user: Option<UserId>,
    /// The video
    #[arg(long, value_name = "VIDEO", conflicts_with_all = ["user", "interaction"])]
    video: Option<VideoId>,
    /// The interaction, by its event_id; names its user with --user
    #[arg(long, value_name = "EVENT", requires = "user")]
    interaction: Option<EventId>,
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that the service writes (store.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The event log (input.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// The archive (archive.dir), instead of the file's
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Do not verify the state against the archive afterwards
    #[arg(long)]
    no_verify: bool,
    /// The certificate as JSON alone
    #[arg(long)]
    json: bool,
}

impl Forget {
    pub fn run(self) -> anyhow::Result<()> {
        let mut overrides = path_override("store.dir", &self.store, "--store");
        overrides.extend(path_override("input.dir", &self.input, "--input"));
        overrides.extend(path_override("archive.dir", &self.archive, "--archive"));
        let config = Config::load(self.config.as_deref(), &overrides)?;
        let target = match (self.user, self.interaction, self.video) {
            (Some(user_id), Some(target_event_id), _) => Target::Interaction { user_id, target_event_id },
            (Some(user_id), None, _) => Target::User { user_id },
            (None, _, Some(video_id)) => Target::Video { video_id },
            // clap lets it not come to that.
            (None, _, None) => bail!("name a --user, a --video, or an --interaction with its --user"),
        };
        if !config.store.dir.is_dir() {
            bail!("store.dir = {:?}: nothing is kept there", config.store.dir.display().to_string());
        }
        let mut certificate = match Client::connect(&socket_path(&config.store.dir)?)? {
            Some(mut client) => client.forget(target)?,
            None => forget::stopped(&config, target)?,
        };
        let made = certificate["checkpoints"]["made"].as_u64();
        certificate["verify"] = match &config.archive.dir {
            Some(_) if !self.no_verify && made.is_some() => {
                match super::verify::run(&config, &[], None, false, true) {
                    Ok(report) => report.to_json(),
                    Err(error) => json!({ "failed": format!("{error:#}") }),
                }
            }
            _ => Json::Null,
        };
        let mut out = stdout().lock();
        if !self.json {
            write!(out, "{}", words(target, &certificate))?;
        }
        serde_json::to_writer_pretty(&mut out, &certificate)?;
        writeln!(out)?;
        Ok(())
    }
}

/// The certificate for people.
fn words(target: Target, certificate: &Json) -> String {
    let subject = match target {
        Target::User { user_id } => format!("user {user_id}"),
        Target::Video { video_id } => format!("video {video_id}"),
        Target::Interaction { user_id, target_event_id } => {
            format!("interaction {target_event_id} of user {user_id}")
        }
    };
    let number = |value: &Json| value.as_u64().unwrap_or(0);
    let mut text = format!(
        "{subject} is forgotten as of epoch {}: no view, list or key holds anything of it.\n",
        number(&certificate["epoch"])
    );
    if let Some(dir) = certificate["archive"]["dir"].as_str() {
        text += &format!(
            "{} rows were taken out of the archive {dir}.\n",
            number(&certificate["archive"]["rows"])
        );
    }
    text += &format!("{} dead letters were blanked.\n", number(&certificate["dead_letters"]));
    match certificate["checkpoints"]["made"].as_u64() {
        Some(made) => {
            let dropped = certificate["checkpoints"]["dropped"].as_array().map_or(0, Vec::len);
            text += &format!("A checkpoint of epoch {made} was made; {dropped} older ones were dropped.\n");
        }
        None => text += "No checkpoints are made.\n",
    }
    match certificate["log"]["done"].as_bool() {
        Some(true) => {
            text += &format!("{} lines of the log were blanked.\n", number(&certificate["log"]["lines"]))
        }
        _ => {
            let why = certificate["log"]["why"].as_str().unwrap_or_default();
            text += &format!("The log was not rewritten: {why}.\n");
        }
    }
    match (&certificate["verify"]["holds"], certificate["verify"]["failed"].as_str()) {
        (Json::Bool(true), _) => text += "Verified: every view is what the archive says without it.\n",
        (Json::Bool(false), _) => {
            text += "NOT verified: views differ from what the archive says; see below.\n"
        }
        (_, Some(why)) => text += &format!("Not verified: {why}.\n"),
        _ => text += "Not verified.\n",
    }
    text += "Out of reach:\n";
    for what in certificate["beyond_reach"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        text += &format!("  - {what}\n");
    }
    text + "\n"
}
