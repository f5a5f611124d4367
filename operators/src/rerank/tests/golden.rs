//! Golden scripts: candidates and history, `---`, the list. `UPDATE_GOLDEN=1 cargo test -p freshet-operators` rewrites what
//! is below the line; review the diff.
//!
//! ```text
//! set KEY VALUE                       a parameter (see `set`)
//! kind user|new|group                 whose list
//! row VIDEO AGE_MIN SIGNAL [WORD..]   watched|skipped|disliked so many minutes ago, the latest last
//! video VIDEO SCORE [WORD..]          a candidate
//! claim VIDEO FROM TO PROPENSITY      a cohort's claim
//! explore POLICY SLOTS EPSILON        places that explore
//! arm CATEGORY ESTIMATE WIDTH         what a category is worth trying; `arm other` for those without one
//! ```
//! with the words `creator=N category=N tag=T at=DEGREES twin=N drawn`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use freshet_learning::LONG_DIMS;

use crate::bandit::{Bet, Outlook};
use crate::content::Content;
use crate::params::{DAY, Exploration, Explore, MINUTE, Params};
use crate::rerank::testing::{Signal, angle, content, row};
use crate::rerank::{Claim, Context, Drawn, Entry, Fatigue, Kind, Policy, Rules, Taste, rerank};
use crate::row::Row;

const NOW: u64 = 20_000 * DAY;

#[derive(Default)]
struct Script {
    params: Params,
    kind: Kind,
    rows: Vec<Row>,
    videos: Vec<(f32, Arc<Content>, bool)>,
    claims: Vec<Claim>,
    outlook: Option<Outlook>,
}

/// A video out of its words, and whether it was drawn.
fn video(number: u64, words: &[&str]) -> (Content, bool) {
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let count = |key: &str| value(key).map_or(0, |n| n.parse().expect(key));
    let tags: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix("tag=")).collect();
    for word in words {
        let key = word.split('=').next();
        assert!(matches!(key, Some("creator" | "category" | "tag" | "at" | "twin" | "drawn")), "{word}");
    }
    let mut made = content(number, count("creator"), count("category"), &tags);
    made.twin = count("twin");
    if let Some(degrees) = value("at") {
        made.vector = angle(degrees.parse().expect("degrees"));
    }
    (made, words.contains(&"drawn"))
}

fn set(params: &mut Params, key: &str, value: &str) {
    let count = || value.parse::<usize>().expect(key);
    let real = || value.parse::<f64>().expect(key);
    match key {
        "seed" => params.seed = value.parse().expect(key),
        "length" => params.feed.length = count(),
        "per_category" => params.feed.per_category = count(),
        "category_window" => params.feed.category_window = count(),
        "no_repeat_last" => params.feed.no_repeat_last = count(),
        "novelty_share" => params.rerank.novelty_share = real(),
        "novelty_max_share" => params.rerank.novelty_max_share = real(),
        "draw_pool" => params.rerank.draw_pool = count(),
        "creator_decay" => params.rerank.creator_decay = real(),
        "similarity_cap" => params.rerank.similarity_cap = real(),
        other => panic!("no such parameter in scripts: {other}"),
    }
}

fn parse(text: &str) -> Script {
    let mut script = Script::default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["set", key, value] => set(&mut script.params, key, value),
            ["kind", kind] => {
                script.kind = match kind {
                    "user" => Kind::User,
                    "new" => Kind::NewUser,
                    "group" => Kind::Group,
                    other => panic!("{other}"),
                }
            }
            ["row", number, age, signal, ref rest @ ..] => {
                let signal = match signal {
                    "watched" => Signal::Watched,
                    "skipped" => Signal::Skipped,
                    "disliked" => Signal::Disliked,
                    other => panic!("{other}"),
                };
                let age: u64 = age.parse().expect(line);
                let (content, _) = video(number.parse().expect(line), rest);
                script.rows.push(row(content, NOW - age * MINUTE, signal));
            }
            ["video", number, score, ref rest @ ..] => {
                let (content, drawn) = video(number.parse().expect(line), rest);
                script.videos.push((score.parse().expect(line), Arc::new(content), drawn));
            }
            ["claim", number, from, to, propensity] => {
                let number: u64 = number.parse().expect(line);
                let entry = script.videos.iter().position(|(_, c, _)| c.video == number).expect(line);
                let (from, to) = (from.parse().expect(line), to.parse().expect(line));
                let propensity = propensity.parse().expect(line);
                script.claims.push(Claim { entry, policy: Policy::Cohort, from, to, propensity });
            }
            ["explore", policy, slots, epsilon] => {
                let policies = [Explore::Linucb, Explore::EpsilonGreedy, Explore::Random];
                let policy = policies.into_iter().find(|known| known.as_str() == policy).expect(line);
                let (slots, epsilon) = (slots.parse().expect(line), epsilon.parse().expect(line));
                script.params.exploration =
                    Exploration { policy, slots, alpha: 1.0, epsilon, ..Exploration::default() };
                script.outlook.get_or_insert_default().version = 5;
            }
            ["arm", category, estimate, width] => {
                let bet = Bet { estimate: estimate.parse().expect(line), width: width.parse().expect(line) };
                let outlook = script.outlook.get_or_insert_default();
                match category {
                    "other" => outlook.unseen = bet,
                    category => outlook.arms.push((category.parse().expect(line), bet)),
                }
            }
            _ => panic!("{line}"),
        }
    }
    script
}

fn told(script: &Script) -> String {
    let Script { params, kind, rows, videos, claims, outlook } = script;
    let entries: Vec<Entry<'_>> = videos
        .iter()
        .map(|(score, content, drawn)| Entry {
            score: *score,
            content,
            norm: content.vector.norm(LONG_DIMS),
            drawn: *drawn,
            claimed: false,
            trusted: 1.0,
            arm: content.category,
        })
        .collect();
    let (fatigue, taste) = (Fatigue::of(rows, NOW, params), Taste::of(rows, params));
    let context = Context {
        kind: *kind,
        subject: 7,
        now: NOW,
        rows,
        fatigue: Some(&fatigue),
        taste: Some(&taste),
        claims,
        narrowed: false,
        outlook: outlook.as_ref(),
        spread: None,
    };
    let list = rerank(&entries, &context, params);
    let rules = |rules: Rules| rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join("+");
    let mut text = String::new();
    for (at, slot) in list.slots.iter().enumerate() {
        let account = &slot.account;
        let video = entries[account.entry].content.video;
        write!(text, "{:>2}. video {video:<3} {:<8}", at + 1, slot.policy.as_str()).expect("a string");
        write!(
            text,
            "chance {:<5.3} ranks {:>2} > {:>2}",
            slot.propensity, account.by_score, account.adjusted
        )
        .expect("a string");
        write!(text, "  compared {:.3}", slot.compared).expect("a string");
        for (factor, name) in
            [(account.fatigue, "fatigue"), (account.taste, "taste"), (slot.creator, "creator")]
        {
            if factor != 1.0 {
                write!(text, "  {name} x{factor:.2}").expect("a string");
            }
        }
        if let Some(Drawn { policy, bet: Bet { estimate, width }, version, arms }) = slot.arm {
            let category = entries[account.entry].content.category;
            let policy = policy.as_str();
            write!(text, "  {policy} took category {category} of {arms}: {estimate:.2} + {width:.2} (version {version})")
                .expect("a string");
        }
        for (set, name) in [(slot.moved, "moved by"), (slot.relaxed, "given up")] {
            if !set.is_empty() {
                write!(text, "  {name} {}", rules(set)).expect("a string");
            }
        }
        text.push('\n');
    }
    for left in &list.left {
        let account = &left.account;
        let video = entries[account.entry].content.video;
        let ranks = format!("ranks {:>2} > {:>2}", account.by_score, account.adjusted);
        writeln!(text, "  - video {video:<3} {ranks}  {}", left.rule.as_str()).expect("a string");
    }
    text
}

#[test]
fn lists_are_as_the_scripts_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rerank");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the scripts' folder")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "scripts are missing from {}", folder.display());
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a script");
        let (input, expected) = text.split_once("---\n").expect("a line of three dashes");
        let found = told(&parse(input));
        if update {
            std::fs::write(&file, format!("{input}---\n{found}")).expect("writable");
        } else if found != expected {
            wrong.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
