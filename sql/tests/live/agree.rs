//! What tables say agrees with the store, with each other at one epoch, and with what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::{Value as Json, json};

use crate::harness::{Guard, Service, freshet, lines, ok, rows, sql, value, world};

/// Videos and users whose sums are others than their interactions.
const TORN: &str = "select (select count(*) from (select video_id, views, watch_ms, likes from video_stats where span = 'all') s \
    full join (select video_id, count(*) n, sum(coalesce(watch_ms, 0)) w, sum(case when liked then 1 else 0 end) l \
    from interactions group by video_id) i on s.video_id = i.video_id \
    where (s.views is distinct from i.n) or (s.watch_ms is distinct from i.w) or (s.likes is distinct from i.l)) as videos, \
    (select count(*) from users u left join (select user_id, count(*) n from interactions group by user_id) i \
    on u.user_id = i.user_id where u.interactions <> coalesce(i.n, 0)) as users, \
    (select count(*) from interactions) as rows, freshet_epoch() as epoch";

fn number(json: &Json) -> u64 {
    json.as_u64().or_else(|| json.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{json} is no number"))
}

/// The store by key, as `freshet dump` has it.
fn dumped(dir: &std::path::Path) -> BTreeMap<String, Json> {
    let dump = ok(freshet(dir, &["dump", "--store", "store"]));
    let entry = |mut line: Json| (line["key"].as_str().expect("a key").to_owned(), line["value"].take());
    lines(&dump).into_iter().map(entry).collect()
}

#[test]
fn tables_hold_what_the_store_and_the_log_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 5, 3_000);
    // Without ticks nothing changes between two looks.
    std::fs::write(dir.join("still.toml"), "[clock]\ntick_ms = 3600000\n").expect("written");
    let service = Service::start(dir, &["--config", "still.toml"]);
    let store = dumped(dir);

    let mut lists: BTreeMap<u64, Vec<(u64, f64)>> = BTreeMap::new();
    for row in rows(dir, "select user_id, video_id, score from feeds order by user_id, place") {
        let item = (number(&row["video_id"]), row["score"].as_f64().expect("a score"));
        lists.entry(number(&row["user_id"])).or_default().push(item);
    }
    let items = |list: &Json| -> Vec<(u64, f64)> {
        let item = |item: &Json| (number(&item["video_id"]), item["score"].as_f64().unwrap_or(0.0));
        list["items"].as_array().into_iter().flatten().map(item).collect()
    };
    let known: BTreeMap<u64, Vec<(u64, f64)>> = store
        .iter()
        .filter_map(|(key, list)| Some((key.strip_prefix("feed:")?.parse().ok()?, items(list))))
        .filter(|(_, items): &(u64, Vec<_>)| !items.is_empty())
        .collect();
    assert!(known.len() > 20, "{} lists show nothing", known.len());
    let ids = |lists: &BTreeMap<u64, Vec<(u64, f64)>>| -> BTreeMap<u64, Vec<u64>> {
        lists.iter().map(|(user, items)| (*user, items.iter().map(|item| item.0).collect())).collect()
    };
    assert_eq!(ids(&lists), ids(&known));
    for (user, items) in &known {
        let close = items.iter().zip(&lists[user]).all(|(a, b)| (a.1 - b.1).abs() < 1e-5);
        assert!(close, "scores of user {user}");
    }

    let mut pools: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for row in rows(dir, "select pool, video_id from trending order by pool, place") {
        pools
            .entry(row["pool"].as_str().expect("a name").to_owned())
            .or_default()
            .push(number(&row["video_id"]));
    }
    let stored = store.iter().filter_map(|(key, pool)| {
        Some((
            key.strip_prefix("trending:")?.to_owned(),
            items(pool).into_iter().map(|item| item.0).collect(),
        ))
    });
    assert_eq!(pools, stored.collect::<BTreeMap<String, Vec<u64>>>());

    let videos = rows(dir, "select video_id, creator_id, caption, category, duration_ms, status from videos");
    let cards: BTreeMap<u64, &Json> = store
        .iter()
        .filter_map(|(key, card)| Some((key.strip_prefix("video:")?.parse().ok()?, card)))
        .collect();
    assert_eq!(videos.len(), cards.len());
    for row in &videos {
        let card = cards[&number(&row["video_id"])];
        assert_eq!(number(&row["creator_id"]), number(&card["creator_id"]));
        assert_eq!(row["caption"].as_str(), card["caption"].as_str(), "{row} {card}");
        assert_eq!(row["status"].as_str(), card["status"].as_str(), "{row} {card}");
    }

    let torn = rows(dir, TORN);
    assert_eq!((&torn[0]["videos"], &torn[0]["users"]), (&json!(0), &json!(0)));
    assert!(number(&torn[0]["rows"]) > 1_000, "{torn:?}");
    let sessions = value(dir, "select cast(sum(interactions) as bigint) from sessions");
    assert_eq!(sessions as u64, number(&torn[0]["rows"]));
    // Scores are those that the ranking goes by.
    assert_eq!(value(dir, "select count(*) from video_scores where candidate <> (rank is not null)"), 0);
    assert_eq!(
        value(
            dir,
            "select count(*) from video_scores s join videos v on s.video_id = v.video_id where s.candidate <> v.ready"
        ),
        0
    );
    assert!(value(dir, "select count(*) from co_engagement where weight > 0") > 100);
    assert!(value(dir, "select count(*) from user_facets where kind = 'hashtag' and name is not null") > 50);
    let shares = rows(dir, "select user_id, sum(share) as whole from user_interests group by user_id");
    let whole = |row: &Json| row["whole"].as_f64().is_some_and(|sum| (sum - 1.0).abs() < 1e-9 || sum == 0.0);
    assert!(shares.len() > 10 && shares.iter().all(whole), "{shares:?}");
    assert!(value(dir, "select count(*) from creators where views > 0 and score between 0.5 and 2") > 0);
    assert!(value(dir, "select count(*) from state_size where entries > 0 and bytes > 0") > 5);
    assert!(value(dir, "select count(*) from topics") > 0);
    let fresh = rows(
        dir,
        "select phase, epoch - freshet_epoch() as off, committed_epoch - epoch as ahead from freshness",
    );
    assert_eq!(fresh, [json!({"phase": "live", "off": 0, "ahead": 0})]);
    service.stop();
}

#[test]
fn tables_of_one_query_are_of_one_epoch_while_events_stream_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 6, 2_000);
    let service = Service::start(dir, &["--workers", "2"]);
    let video = value(dir, "select max(video_id) from videos");
    let (done, mut seen, mut counts) = (AtomicBool::new(false), BTreeSet::new(), BTreeSet::new());
    // Also where an assertion fails: the thread that posts would go on for good.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let ended = Done(&done);
        scope.spawn(|| {
            for n in 0u64.. {
                if done.load(Relaxed) {
                    break;
                }
                service.post(&json!({"event_id": 5_000_000 + n, "user_id": 900 + n % 7, "video_id": video,
                                     "watch_ms": 1_000 + n, "like": n % 2 == 0}));
            }
        });
        // One process asks again and again, as an analyst does.
        let mut asking = sql(dir, &["--store", "store", "--format", "json"]);
        let mut child =
            Guard(asking.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs"));
        let mut input = child.0.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        let mut ask = || -> Json {
            writeln!(input, "{TORN};").expect("it reads");
            serde_json::from_str(&answers.next().expect("an answer").expect("UTF-8")).expect("a row")
        };
        for _ in 0..12 {
            let row = ask();
            assert_eq!((&row["videos"], &row["users"]), (&json!(0), &json!(0)), "a torn read: {row}");
            seen.insert(number(&row["epoch"]));
            counts.insert(number(&row["rows"]));
        }
        drop((ended, input));
        assert!(child.0.wait().expect("our child").success());
    });
    assert!(seen.len() > 3 && counts.len() > 3, "nothing streamed in: epochs {seen:?}, rows {counts:?}");
    service.stop();
}

#[test]
fn keys_are_looked_up_and_nothing_else_travels() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 7, 1_500);
    let service = Service::start(dir, &[]);
    let users: Vec<u64> = rows(dir, "select user_id from users order by user_id limit 3")
        .iter()
        .map(|row| number(&row["user_id"]))
        .collect();
    let [a, b, c] = users[..] else { panic!("{users:?}") };
    let travelled = |table: &str, query: &str| {
        let name = format!("freshet_sql_rows_total{{table=\"{table}\"}}");
        let before = service.metric(&name);
        let rows = rows(dir, query);
        (rows, service.metric(&name) - before)
    };
    let (found, sent) = travelled("users", &format!("select * from users where user_id = {a}"));
    assert_eq!((found.len(), sent), (1, 1));
    let (found, sent) =
        travelled("users", &format!("select * from users where user_id in ({a}, {b}, {c}, 77)"));
    assert_eq!((found.len(), sent), (3, 3));
    let (found, sent) = travelled(
        "users",
        &format!("select * from users where user_id in ({a}, {b}) and {b} = user_id and likes >= 0"),
    );
    assert_eq!((found.len(), sent), (1, 1));
    let (found, sent) =
        travelled("feeds", &format!("select * from feeds where user_id = {a} and place <= 2"));
    assert!(found.len() <= 2 && sent <= 200, "{sent} places for one user");
    let video = value(dir, "select max(video_id) from video_stats where span = 'all'");
    let (found, sent) =
        travelled("video_stats", &format!("select * from video_stats where video_id = {video}"));
    assert!(sent == found.len() as u64 && (1..=4).contains(&sent), "{sent} rows for one video");
    // A condition on another column is no key: all rows travel, and the answer is right all the same.
    let all = value(dir, "select count(*) from users") as u64;
    let (found, sent) = travelled("users", "select * from users where interactions < 0");
    assert_eq!((found.len() as u64, sent), (0, all));
    // A limit stops the reading.
    let (found, sent) = travelled("interactions", "select * from interactions limit 5");
    assert_eq!((found.len(), sent), (5, 5));
    // What is only explained is not read.
    let (_, sent) = travelled("interactions", "explain select * from interactions");
    assert_eq!(sent, 0);
    service.stop();
}
