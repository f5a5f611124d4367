//! The commands that read a store: `feed`, `related`, `stats`, `trending`, `dump`. `why` and `heads` have files of their own.

use std::io::{BufWriter, Write, stdout};

use anyhow::{Context, bail};
use clap::Args;
use freshet_schema::feed::{FeedItem, FeedRecord, RelatedRecord, Source, TrendingRecord, VideoCard};
use freshet_schema::store::{EVERYONE, Key, Value};
use freshet_schema::{UserId, VideoId};

use super::StoreArgs;
use crate::table::{Align, printable, render, shorten};
use crate::view::View;

/// Print a user's list
///
/// A user without a list gets the new-user list, as over HTTP.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  freshet feed 17 --store data/store\n  freshet feed 17 --json | jq .items[0]"
)]
pub struct Feed {
    /// The user's number
    #[arg(value_name = "USER")]
    user: UserId,
    /// Rows of the table (JSON holds the whole list)
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    store: StoreArgs,
}

impl Feed {
    pub fn run(self) -> anyhow::Result<()> {
        let mut view = self.store.open()?;
        let Some((list, own)) = list_of(&mut view, self.user)? else {
            bail!("user {}: no list, and no new-user list either: the store is empty so far", self.user);
        };
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&list)?)?);
        }
        let mut rows = Vec::new();
        for (at, item) in list.items.iter().take(self.limit).enumerate() {
            let card = card(&mut view, VideoId(item.video_id))?;
            let caption = card.map_or_else(String::new, |card| shorten(&card.caption, 48));
            rows.push(vec![
                (at + 1).to_string(),
                item.video_id.to_string(),
                format!("{:.4}", item.score),
                sources(item),
                caption,
            ]);
        }
        let columns = [
            ("#", Align::Right),
            ("video", Align::Right),
            ("score", Align::Right),
            ("from", Align::Left),
            ("caption", Align::Left),
        ];
        write!(out, "{}", render(&columns, &rows))?;
        let whose = if own { "" } else { "; the user has no list yet: this is the new-user list" };
        let marks = match (list.interest_drift, list.obsession_loop) {
            (false, false) => "",
            (true, false) => ", interest drifts",
            (false, true) => ", in a loop",
            (true, true) => ", interest drifts, in a loop",
        };
        writeln!(
            out,
            "{} of {} items, epoch {}, {}, group {}{marks}{whose}",
            rows.len(),
            list.items.len(),
            list.epoch,
            printable(&list.algorithm),
            printable(&list.group)
        )?;
        Ok(())
    }
}

/// Print what goes with a video
///
/// What others liked together with it, and what is like it, in the order that holds for everybody. Over HTTP, preferences
/// come first.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  freshet related 4242 --store data/store")]
pub struct Related {
    /// The video's number
    #[arg(value_name = "VIDEO")]
    video: VideoId,
    /// Rows of the table (JSON holds the whole record)
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    store: StoreArgs,
}

impl Related {
    pub fn run(self) -> anyhow::Result<()> {
        let video = self.video;
        let mut view = self.store.open()?;
        if card(&mut view, video)?.is_none() {
            bail!("video {video}: no upload of it is in the store, or it was deleted");
        }
        let record = match view.get(&Key::Related(video))? {
            Some(Value::Related(record)) => record,
            _ => RelatedRecord { video_id: video.0, ..RelatedRecord::default() },
        };
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&record)?)?);
        }
        if record.items.is_empty() {
            writeln!(
                out,
                "nothing is related to video {video} so far; records are made at the multiples of feed.pools_every"
            )?;
            return Ok(());
        }
        let mut rows = Vec::new();
        for (at, item) in record.items.iter().take(self.limit).enumerate() {
            let card = card(&mut view, VideoId(item.video_id))?.unwrap_or_default();
            rows.push(vec![
                (at + 1).to_string(),
                item.video_id.to_string(),
                names(item.sources()),
                shorten(&card.caption, 48),
            ]);
        }
        let columns =
            [("#", Align::Right), ("video", Align::Right), ("from", Align::Left), ("caption", Align::Left)];
        write!(out, "{}", render(&columns, &rows))?;
        Ok(writeln!(out, "{} of {} items, epoch {}", rows.len(), record.items.len(), record.epoch)?)
    }
}

/// Print numbers about the store and the running service
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  freshet stats --store data/store\n  freshet stats --count --json")]
pub struct Stats {
    /// Count the entries also while a service runs: reads the whole store
    #[arg(long)]
    count: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl Stats {
    pub fn run(self) -> anyhow::Result<()> {
        let mut view = self.store.open()?;
        let mut stats = view.stats(self.count)?;
        stats["service"] = serde_json::json!(view.service().map(|path| path.display().to_string()));
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{stats}")?);
        }
        let mut rows = Vec::new();
        flatten("", &stats, &mut rows);
        Ok(write!(out, "{}", render(&[("what", Align::Left), ("value", Align::Left)], &rows))?)
    }
}

/// Print the best videos of a pool
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet trending --store data/store
  freshet trending category:music
  freshet trending demographic:de/18-24/-")]
pub struct Trending {
    /// all, category:NAME, hashtag:NAME, sound:ID, creator:ID or demographic:COUNTRY/AGE/GENDER
    #[arg(value_name = "GROUP", default_value = EVERYONE)]
    group: String,
    /// Rows of the table (JSON holds the whole pool)
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    store: StoreArgs,
}

impl Trending {
    pub fn run(self) -> anyhow::Result<()> {
        let mut view = self.store.open()?;
        let Some(pool) = trending(&mut view, &self.group)? else {
            bail!(
                "group {:?}: there is no such pool; groups are all, category:NAME, hashtag:NAME, sound:ID, creator:ID \
                 and demographic:COUNTRY/AGE/GENDER, and pools appear at the first multiple of feed.pools_every",
                self.group
            );
        };
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&pool)?)?);
        }
        let mut rows = Vec::new();
        for (at, item) in pool.items.iter().take(self.limit).enumerate() {
            let card = card(&mut view, VideoId(item.video_id))?.unwrap_or_default();
            rows.push(vec![
                (at + 1).to_string(),
                item.video_id.to_string(),
                format!("{:.3}", item.score),
                shorten(&card.category, 16),
                shorten(&card.caption, 48),
            ]);
        }
        let columns = [
            ("#", Align::Right),
            ("video", Align::Right),
            ("log2 score", Align::Right),
            ("category", Align::Left),
            ("caption", Align::Left),
        ];
        write!(out, "{}", render(&columns, &rows))?;
        writeln!(out, "{} of {} items, epoch {}", rows.len(), pool.items.len(), pool.epoch)?;
        Ok(())
    }
}

/// Write the whole store in the order of keys as JSON lines
///
/// All lines are of one epoch, also while a service runs. Two stores are equal when their dumps are.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  freshet dump --store data/store > before.jsonl")]
pub struct Dump {
    #[command(flatten)]
    store: StoreArgs,
}

impl Dump {
    pub fn run(self) -> anyhow::Result<()> {
        // `--json` is taken and changes nothing: a dump is JSON lines.
        let mut view = self.store.open()?;
        let mut out = BufWriter::new(stdout().lock());
        view.dump(&mut out)?;
        Ok(out.flush()?)
    }
}

/// The user's list, or the new-user list (`false`) where there is none.
fn list_of(view: &mut View, user: UserId) -> anyhow::Result<Option<(FeedRecord, bool)>> {
    for (key, own) in [(Key::Feed(user), true), (Key::NewUser(EVERYONE.to_owned()), false)] {
        match view.get(&key)? {
            Some(Value::Feed(list)) => return Ok(Some((list, own))),
            Some(_) => bail!("the value of {key} is no list"),
            None => {}
        }
    }
    Ok(None)
}

pub(super) fn card(view: &mut View, video: VideoId) -> anyhow::Result<Option<VideoCard>> {
    Ok(match view.get(&Key::Video(video))? {
        Some(Value::Video(card)) => Some(card),
        _ => None,
    })
}

fn trending(view: &mut View, group: &str) -> anyhow::Result<Option<TrendingRecord>> {
    let value = view.get(&Key::Trending(group.to_owned())).with_context(|| format!("the pool {group:?}"))?;
    Ok(match value {
        Some(Value::Trending(pool)) => Some(pool),
        _ => None,
    })
}

/// `hashtag+trending`: the names of the .proto without their prefix.
pub(super) fn sources(item: &FeedItem) -> String {
    names(item.sources())
}

fn names(sources: impl Iterator<Item = Source>) -> String {
    let names: Vec<&str> = sources.map(Source::name).collect();
    names.join("+")
}

/// `{"a":{"b":1}}` to the row `a.b`, `1`.
fn flatten(prefix: &str, value: &serde_json::Value, rows: &mut Vec<Vec<String>>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, rows);
            }
        }
        serde_json::Value::Null => rows.push(vec![prefix.to_owned(), "-".to_owned()]),
        serde_json::Value::String(text) => rows.push(vec![prefix.to_owned(), text.clone()]),
        other => rows.push(vec![prefix.to_owned(), other.to_string()]),
    }
}
