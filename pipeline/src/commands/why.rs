//! `freshet why`: the account of a list entry, the same as over HTTP, for a terminal of 80 columns.

use std::io::{Write, stdout};

use clap::Args;
use freshet_feed_server::account::{self, Account, Estimate, Gap, Stored};
use freshet_feed_server::words::{self, short};
use freshet_schema::feed::{FeedItem, VideoCard};
use freshet_schema::ids::decimal;
use freshet_schema::store::{Key, Value};
use freshet_schema::{UserId, VideoId};
use serde::Serialize;

use super::StoreArgs;
use super::read::{card, sources};
use crate::table::{Align, printable, render, shorten, wrap};
use crate::view::View;

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Say why a video is in a user's list, or which stage dropped it
///
/// Of a listed video: where it came from, what was expected of it and from what, what moved it, and with what chance it got
/// its place.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  freshet why 17 4242 --store data/store\n  freshet why 17 4242 --json | jq .account.compared"
)]
pub struct Why {
    /// The user's number
    #[arg(value_name = "USER")]
    user: UserId,
    /// The video's number
    #[arg(value_name = "VIDEO")]
    video: VideoId,
    #[command(flatten)]
    store: StoreArgs,
}

/// What `why --json` prints of a listed video. Written straight from the types: a `serde_json::Value` on the way would make
/// 64-bit numbers of 32-bit ones, and 0.1 would read 0.10000000149011612.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(with = "decimal")]
    user_id: u64,
    #[serde(with = "decimal")]
    video_id: u64,
    listed: bool,
    own_list: bool,
    /// From 1.
    rank: usize,
    of: usize,
    item: &'a FeedItem,
    sources: String,
    policy: &'a str,
    propensity: f32,
    algorithm: &'a str,
    arms: &'a [String],
    epoch: u64,
    account: Option<&'a Account>,
    account_gap: Option<Gap>,
    explanation: String,
    card: Option<&'a VideoCard>,
}

impl Why {
    pub fn run(self) -> anyhow::Result<()> {
        let (user, video) = (self.user, self.video);
        let mut view = self.store.open()?;
        let stored = account::gather(user, |key| view.get(key))?;
        let card = card(&mut view, video)?;
        let listed = stored.as_ref().and_then(|stored| {
            let at = stored.list.items.iter().position(|item| item.video_id == video.0)?;
            Some((stored, at))
        });
        match listed {
            Some((stored, at)) => self.listed(stored, at, card.as_ref()),
            None => self.missing(&mut view, card.as_ref()),
        }
    }

    fn missing(&self, view: &mut View, card: Option<&VideoCard>) -> anyhow::Result<()> {
        let (user, video) = (self.user, self.video);
        let dropped = match view.get(&Key::Dropped(user))? {
            Some(Value::Dropped(record)) => {
                record.items.iter().find(|item| item.video_id == video.0).map(|item| item.stage())
            }
            _ => None,
        };
        let (stage, words) = match (dropped, card) {
            (Some(stage), _) => words::dropped(stage),
            (None, None) => ("unknown_video", "no upload of it is in the store, or it was deleted"),
            (None, Some(card)) if card.status != "ready" => {
                ("not_ready", "it is not ready: only ready videos are candidates")
            }
            (None, Some(_)) => {
                ("not_a_candidate", "no candidate source brought it, or it is long below the list")
            }
        };
        let mut out = stdout().lock();
        if self.store.json {
            let answer = serde_json::json!({"user_id": user.to_string(), "video_id": video.to_string(),
                "listed": false, "stage": stage, "detail": words, "card": card});
            return Ok(writeln!(out, "{answer}")?);
        }
        Ok(writeln!(out, "video {video} is not in the list of user {user}: {words} [{stage}]")?)
    }

    fn listed(&self, stored: &Stored, at: usize, card: Option<&VideoCard>) -> anyhow::Result<()> {
        let (user, video) = (self.user, self.video);
        let (list, item) = (&stored.list, &stored.list.items[at]);
        let (account, gap) = account::account(stored, at);
        let explanation = words::explain(stored, at, account.as_ref(), gap).join(" ");
        let mut out = stdout().lock();
        if self.store.json {
            let answer = Listed {
                user_id: user.0,
                video_id: video.0,
                listed: true,
                own_list: stored.own,
                rank: at + 1,
                of: list.items.len(),
                item,
                sources: sources(item),
                policy: account::policy(item, stored.own),
                propensity: account::propensity(item),
                algorithm: &list.algorithm,
                arms: &list.arms,
                epoch: list.epoch,
                account: account.as_ref(),
                account_gap: gap,
                explanation,
                card,
            };
            return Ok(writeln!(out, "{}", serde_json::to_string(&answer)?)?);
        }
        let whose = if stored.own { format!("of user {user}") } else { "for new users".to_owned() };
        writeln!(out, "video {video} is number {} of {} in the list {whose}", at + 1, list.items.len())?;
        if let Some(card) = card {
            writeln!(out, "  {}", printable(&shorten(&card.caption, WIDTH - 2)))?;
        }
        writeln!(out, "  brought by   {}", sources(item))?;
        writeln!(out, "  score        {:.6}", item.score)?;
        let (policy, chance) = (account::policy(item, stored.own), account::propensity(item));
        writeln!(out, "  place        {policy}, with a chance of {}", short(chance))?;
        if !item.moved_by.is_empty() {
            writeln!(out, "  moved by     {}", printable(&item.moved_by))?;
        }
        writeln!(out, "  made by      {} in epoch {}", printable(&list.algorithm), list.epoch)?;
        if !list.arms.is_empty() {
            writeln!(out, "  experiments  {}", printable(&list.arms.join(", ")))?;
        }
        write!(out, "\n{}", wrap(&explanation, WIDTH))?;
        if let Some(parts) = &item.parts {
            writeln!(out, "\nthe video in itself")?;
            writeln!(out, "  similarity {:.4}   (0 opposite, 0.5 unrelated, 1 alike)", parts.similarity)?;
            writeln!(out, "  quality    {:.4}   (1 is the baseline of its cohort)", parts.quality)?;
            writeln!(out, "  creator    {:.4}   (1 is the average creator)", parts.creator)?;
            writeln!(out, "  freshness  {:.4}   (1 is new)", parts.freshness)?;
        }
        if let Some(account) = &account {
            if let Some(estimate) = &account.estimate {
                write!(out, "\n{}", objectives(estimate, account.heads_version))?;
                write!(out, "\n{}", features(estimate))?;
            }
            write!(out, "\n{}", places(account, at + 1))?;
        }
        Ok(())
    }
}

/// What is expected, and what it adds.
fn objectives(estimate: &Estimate, version: u64) -> String {
    let examples = |name: &str| {
        estimate.heads.iter().find(|head| head.name == name).map_or_else(
            || "-".to_owned(),
            |head| if head.examples > 0.0 { format!("{:.0}", head.examples) } else { "not yet".to_owned() },
        )
    };
    let mut rows: Vec<Vec<String>> = estimate
        .objectives
        .iter()
        .map(|o| {
            let numbers = [o.estimate, o.weight, o.contribution].map(short);
            [vec![o.name.clone()], numbers.to_vec(), vec![examples(&o.name)]].concat()
        })
        .collect();
    rows.push(vec![
        "together".to_owned(),
        String::new(),
        String::new(),
        short(estimate.objectives_sum),
        String::new(),
    ]);
    if let Some(choice) = estimate.heads.first() {
        rows.push(vec![
            format!("x {}", choice.name),
            short(choice.estimate),
            String::new(),
            short(choice.estimate * estimate.objectives_sum),
            examples(&choice.name),
        ]);
    }
    let columns = [
        ("expected", Align::Left),
        ("estimate", Align::Right),
        ("weight", Align::Right),
        ("adds", Align::Right),
        ("examples learned from", Align::Right),
    ];
    format!("{}weights of version {version}\n", render(&columns, &rows))
}

/// What was looked at, by influence.
fn features(estimate: &Estimate) -> String {
    let mut seen: Vec<_> = estimate.features.iter().filter(|feature| feature.value != 0.0).collect();
    seen.sort_by(|a, b| b.influence.abs().total_cmp(&a.influence.abs()));
    let rows: Vec<Vec<String>> = seen
        .iter()
        .map(|feature| {
            let choice = feature.contributions.0.first().map_or(0.0, |(_, part)| *part);
            let numbers = [feature.value, choice, feature.influence].map(short);
            [vec![shorten(&feature.name, 40)], numbers.to_vec()].concat()
        })
        .collect();
    let columns = [
        ("looked at", Align::Left),
        ("value", Align::Right),
        ("in choice", Align::Right),
        ("in score", Align::Right),
    ];
    let left = estimate.features.len() - seen.len();
    format!(
        "{}{left} more are 0; --json has the weights and the parts in each estimate\n",
        render(&columns, &rows)
    )
}

/// From the value to the place.
fn places(account: &Account, rank: usize) -> String {
    let row =
        |step: &str, factor: String, score: String, rank: String| vec![step.to_owned(), factor, score, rank];
    let mut factors = format!("{} x {}", short(account.fatigue_factor), short(account.taste_factor));
    let mut step = "fatigue x first taste".to_owned();
    if let Some(abuse) = account.abuse_factor {
        step.push_str(" x abuse");
        factors.push_str(&format!(" x {}", short(abuse)));
    }
    if let Some(spread) = account.spread_factor {
        step.push_str(" x spread");
        factors.push_str(&format!(" x {}", short(spread)));
    }
    let mut rows = vec![
        row("by score", String::new(), short(account.value), account.rank_by_value.to_string()),
        row(&step, factors, String::new(), account.rank_adjusted.to_string()),
        row(
            "creator's earlier places",
            short(account.creator_factor),
            short(account.compared),
            rank.to_string(),
        ),
    ];
    if !account.relaxed.is_empty() {
        rows.push(row("given up for it", account.relaxed.join(","), String::new(), String::new()));
    }
    let columns =
        [("step", Align::Left), ("factor", Align::Right), ("compared", Align::Right), ("rank", Align::Right)];
    render(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use account::{ByHead, Feature, Head, Objective};

    #[test]
    fn the_tables_fit_a_terminal() {
        let head = |name: &str, examples| Head {
            curve: Vec::new(),
            name: name.to_owned(),
            sum: -0.123_456,
            estimate: 0.123_456,
            examples,
        };
        let name = "share of quick attention, unfollowed";
        let feature = Feature {
            name: name.to_owned(),
            value: -7.999,
            weights: ByHead(Vec::new()),
            contributions: ByHead(vec![("choice".to_owned(), -0.000_123_4)]),
            influence: -0.000_012_3,
        };
        let estimate = Estimate {
            choice_floor: 0.002,
            heads: vec![head("choice", 1_234_567.0), head("continuation", 0.0)],
            objectives: vec![Objective {
                name: "continuation".to_owned(),
                estimate: 0.123_456,
                weight: -0.05,
                contribution: -0.006_172_8,
            }],
            objectives_sum: -0.006_172_8,
            features: vec![feature.clone(), Feature { value: 0.0, ..feature }],
        };
        let account = Account {
            epoch: 1,
            heads_version: 1_700_000_000_000,
            value: -0.000_76,
            rank_by_value: 1_000,
            fatigue_factor: 0.123_4,
            taste_factor: 1.5,
            abuse_factor: Some(0.7),
            spread_factor: None,
            rank_adjusted: 1_000,
            creator_factor: 0.85,
            compared: -0.000_9,
            moved_by: Vec::new(),
            relaxed: ["twin", "category", "similarity"].map(str::to_owned).to_vec(),
            estimate: None,
        };
        let text = [objectives(&estimate, account.heads_version), features(&estimate), places(&account, 100)]
            .concat();
        assert!(text.contains("not yet") && text.contains(name) && text.contains("1 more are 0"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
