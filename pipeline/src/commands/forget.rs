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
  freshet forget --interaction 4711 --user 17 --json > certificate.json

Exit codes: 0 done and verified (or nothing was to be verified), 1 not done, not verified, or views differ; the error says which, and the
certificate what was done.")]
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
    /// The archive, or s3://BUCKET/PREFIX (archive.dir), instead of the file's
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
        match unproved(&certificate) {
            Some(why) => bail!("{}: {why}", subject(target)),
            None => Ok(()),
        }
    }
}

/// Why the certificate proves nothing, though it should.
fn unproved(certificate: &Json) -> Option<String> {
    let verify = &certificate["verify"];
    if let Some(why) = verify["failed"].as_str() {
        return Some(format!(
            "what the certificate names was done, and could not be verified: {why}; --no-verify does without"
        ));
    }
    let views = verify["views"].as_array().into_iter().flatten();
    let different: Vec<&str> =
        views.filter(|view| view["different"] != json!(0)).filter_map(|view| view["view"].as_str()).collect();
    (verify["holds"] == json!(false)).then(|| {
        format!(
            "what the certificate names was done, and the state is not what the archive says ({}): \
             `freshet verify` shows each view in full",
            different.join(", ")
        )
    })
}

/// Who or what is forgotten, in words.
fn subject(target: Target) -> String {
    match target {
        Target::User { user_id } => format!("user {user_id}"),
        Target::Video { video_id } => format!("video {video_id}"),
        Target::Interaction { user_id, target_event_id } => {
            format!("interaction {target_event_id} of user {user_id}")
        }
    }
}

/// What the values of other keys still say of a video.
fn named(values: &Json) -> String {
    let Some(naming) = values["naming"].as_object() else { return String::new() };
    let read = values["read"].as_u64().unwrap_or(0);
    let still: Vec<String> = naming.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    if still.is_empty() {
        return format!("None of the {read} lists, accounts and pools of the store names it.\n");
    }
    format!(
        "Of the {read} lists, accounts and pools of the store, some still name it ({}), each until it is made anew; `freshet resync` \
         has all of them made anew.\n",
        still.join(", ")
    )
}

/// The certificate for people.
fn words(target: Target, certificate: &Json) -> String {
    let number = |value: &Json| value.as_u64().unwrap_or(0);
    let mut text = format!("{} is forgotten as of epoch {}", subject(target), number(&certificate["epoch"]));
    let keys = certificate["store"].as_object();
    let there: Vec<&str> = keys
        .into_iter()
        .flatten()
        .filter(|(_, how)| how.as_str() == Some("there"))
        .map(|(key, _)| &**key)
        .collect();
    match (there.is_empty(), keys.is_some_and(|keys| !keys.is_empty())) {
        (true, true) => text += ": the store has none of its keys.\n",
        (true, false) => text += ".\n",
        (false, _) => {
            text += &format!(
                ". The store has {}: right only of one who came back after the delete.\n",
                there.join(", ")
            );
        }
    }
    text += &named(&certificate["values"]);
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
        (Json::Bool(true), _) => {
            text += "Verified: every view is what the archive says without it.\n";
            if let Some(left_out) = certificate["verify"]["left_out"].as_str() {
                text += &format!("Not compared: {left_out}.\n");
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(there: &str, verify: Json) -> Json {
        json!({
            "epoch": 7, "store": { "feed:17": there, "dropped:17": "gone" }, "values": null, "archive": null, "dead_letters": 0,
            "checkpoints": { "made": 8, "dropped": [3] }, "log": { "done": false, "why": "x" }, "verify": verify,
            "beyond_reach": ["backups"],
        })
    }

    #[test]
    fn a_certificate_says_no_more_than_was_proved() {
        let user = Target::User { user_id: UserId(17) };
        let differs = json!({ "holds": false, "views": [
            { "view": "rows", "different": 0 }, { "view": "video_sums", "different": 2 } ] });
        let failed = json!({ "failed": "the archive was begun behind epoch 3" });
        let proved = certificate("gone", json!({ "holds": true, "left_out": "category topics" }));
        let text = words(user, &proved);
        // Views are compared, and the store is asked for its keys; no list of others is.
        assert!(
            text.starts_with("user 17 is forgotten as of epoch 7: the store has none of its keys.\n"),
            "{text}"
        );
        assert!(text.contains("\nVerified: every view is what the archive says without it.\n"), "{text}");
        assert!(text.contains("Not compared: category topics."), "{text}");
        assert_eq!(unproved(&proved), None);
        for (verify, why) in [(differs, "video_sums"), (failed, "begun behind epoch 3")] {
            let certificate = certificate("gone", verify);
            let text = words(user, &certificate);
            assert!(text.starts_with("user 17 is forgotten as of epoch 7: the store has none of its keys."));
            assert!(text.to_lowercase().contains("\nnot verified: "), "{text}");
            let said = unproved(&certificate).expect("a reason");
            assert!(said.contains(why) && !said.contains("rows"), "{said}");
        }
        let back = certificate("there", json!({ "holds": true }));
        let text = words(user, &back);
        assert!(text.contains("epoch 7. The store has feed:17: ") && !text.contains("none of"), "{text}");
        let unwanted = certificate("gone", Json::Null);
        assert!(words(user, &unwanted).contains("\nNot verified.\n"));
        assert_eq!(unproved(&unwanted), None);
    }

    #[test]
    fn a_video_that_values_still_name_is_said_to_be() {
        let video = Target::Video { video_id: VideoId(5) };
        let text = |naming: Json| {
            let mut certificate = certificate("gone", json!({ "holds": true }));
            certificate["values"] = json!({ "read": 90, "naming": naming });
            words(video, &certificate)
        };
        let none = text(json!({}));
        assert!(
            none.contains("\nNone of the 90 lists, accounts and pools of the store names it.\n"),
            "{none}"
        );
        let some = text(json!({ "dropped": 12, "feed": 1 }));
        assert!(some.contains("some still name it (12 dropped, 1 feed), each until"), "{some}");
        assert!(!some.contains("None of the"), "{some}");
    }
}
