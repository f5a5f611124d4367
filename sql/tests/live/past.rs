//! The archive in SQL: what it holds, that it agrees with the live tables, and that nothing that happens to its files meanwhile shows.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::harness::{Guard, Service, freshet, lines, ok, rows, run, sql, value, wait_for, world};

/// Rows of the live tables that the archive's current state has not, and the other way round.
const DIFFER: &str = "select \
    (select count(*) from (select user_id, event_id, video_id, event_time, revision, watch_ms, liked, disliked, shared, commented, followed \
       from interactions) l full join history.current_interactions h on l.user_id = h.user_id and l.event_id = h.event_id \
       where (l.video_id is distinct from h.video_id) or (l.event_time is distinct from h.event_time) \
       or (l.revision is distinct from h.revision) or (l.watch_ms is distinct from h.watch_ms) or (l.liked is distinct from h.liked) \
       or (l.disliked is distinct from h.disliked) or (l.shared is distinct from h.shared) \
       or (l.commented is distinct from h.commented) or (l.followed is distinct from h.followed)) as interactions, \
    (select count(*) from videos l full join history.current_videos h on l.video_id = h.video_id \
       where (l.creator_id is distinct from h.creator_id) or (l.created_at is distinct from h.created_at) \
       or (l.updated_at is distinct from h.updated_at) or (l.caption is distinct from h.caption) \
       or (l.category is distinct from h.category) or (l.status is distinct from h.status)) as videos, \
    (select count(*) from interactions) as rows";

/// Small rolls and files, and no ticks: what is read at one moment stays so.
fn settings(dir: &Path, more: &str) {
    let text = format!(
        "[clock]\ntick_ms = 3600000\n[archive]\nroll_every = \"100ms\"\nroll_bytes = \"64KiB\"\n{more}"
    );
    std::fs::write(dir.join("history.toml"), text).expect("written");
}

fn archived(dir: &Path) -> Service {
    let service = Service::start(dir, &["--config", "history.toml", "--archive", "archive"]);
    wait_for("the archive to hold all that was read", || {
        let covered =
            rows(dir, "select max(through_epoch) >= max(freshet_epoch()) as covered from history.coverage");
        (covered[0]["covered"] == json!(true)).then_some(())
    });
    service
}

/// The records of a stream, as they were written.
fn logged(dir: &Path, stream: &str) -> Vec<Json> {
    let folder = dir.join("log").join(stream);
    let mut parts: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    parts.sort();
    parts.iter().flat_map(|part| lines(&std::fs::read_to_string(part).expect("read"))).collect()
}

fn count(of: &[Json]) -> i64 {
    i64::try_from(of.len()).expect("a few")
}

/// Appends lines to a part file of the log.
fn append(dir: &Path, stream: &str, events: &[Json]) {
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    let folder = dir.join("log").join(stream);
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("part-more.jsonl"), text).expect("written");
}

#[test]
fn history_holds_what_counts_and_joins_with_what_is_known_now() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 21, 1_200);
    settings(dir, "compact = false\n");
    // Withdrawn, doubled, and deleted of every kind.
    let views = logged(dir, "interactions");
    let of = |n: usize, field: &str| views[n][field].as_u64().expect("a number");
    let mut withdrawn = views[10].clone();
    withdrawn["revision"] = json!(2);
    withdrawn["like"] = json!(false);
    withdrawn["watch_ms"] = json!(7);
    append(dir, "interactions", &[withdrawn, views[11].clone(), views[12].clone()]);
    let last = views.iter().filter_map(|view| view["event_time"].as_u64()).max().expect("some");
    let user = of(40, "user_id");
    append(
        dir,
        "deletes",
        &[
            json!({"event_id": 1, "event_time": last, "target": "interaction", "user_id": of(20, "user_id"), "target_event_id": of(20, "event_id")}),
            json!({"event_id": 2, "event_time": of(700, "event_time"), "target": "video", "video_id": of(30, "video_id")}),
            json!({"event_id": 3, "event_time": of(500, "event_time"), "target": "user", "user_id": user}),
        ],
    );
    let service = archived(dir);

    let raw = value(dir, "select count(*) from history.interactions");
    assert_eq!(raw, count(&views) + 3, "each row once, doubled ones included");
    let covered = rows(dir, "select table_name, rows, files, first_day, last_day from history.coverage");
    assert_eq!(covered.len(), 7);
    let views_of = covered.iter().find(|row| row["table_name"] == "interactions").expect("its row");
    assert_eq!(views_of["rows"], json!(count(&views) + 3));
    let differ = rows(dir, DIFFER);
    assert_eq!((&differ[0]["interactions"], &differ[0]["videos"]), (&json!(0), &json!(0)), "{differ:?}");
    assert!(
        differ[0]["rows"].as_i64().is_some_and(|rows| (700..count(&views)).contains(&rows)),
        "{differ:?}"
    );
    let deletes = count(&logged(dir, "deletes"));
    assert!(deletes >= 3 && value(dir, "select count(*) from history.deletes") == deletes);

    // The views agree with each other and with plain counts.
    let days = rows(
        dir,
        "select count(*) as days, sum(case when a.users = w.users and a.interactions = w.views and a.new_users <= a.users then 1 else 0 end) as same \
         from history.daily_users a join history.daily_watch_time w on a.day = w.day",
    );
    assert_eq!(days[0]["days"], days[0]["same"]);
    assert!(days[0]["days"].as_i64().expect("a count") > 3, "{days:?}");
    assert_eq!(
        value(
            dir,
            "select cast(sum(new_users) as bigint) - (select count(distinct user_id) from history.current_interactions) from history.daily_users"
        ),
        0
    );
    assert_eq!(
        value(
            dir,
            "select cast(sum(r.users) as bigint) - (select count(*) from (select distinct user_id, day from history.current_interactions) d) \
             from history.retention r"
        ),
        0
    );
    assert_eq!(
        value(
            dir,
            "select count(*) from history.retention where day_number = 0 and (users <> cohort or share <> 1.0)"
        ),
        0
    );
    assert!(value(dir, "select count(*) from history.retention where day_number > 0 and share < 1.0") > 0);
    assert_eq!(
        value(
            dir,
            "select cast(sum(videos) as bigint) - (select count(*) from history.current_videos) from history.daily_uploads"
        ),
        0
    );
    let dashboard = rows(
        dir,
        "select sum(d.views) as views, sum(d.likes) as likes, sum(d.watch_ms) as watch_ms, (select count(*) from interactions) as live_views, \
         (select count(*) from interactions where liked) as live_likes, (select sum(watch_ms) from interactions) as live_watch from history.creator_days d",
    );
    let sums = &dashboard[0];
    assert_eq!(
        (&sums["views"], &sums["likes"], &sums["watch_ms"]),
        (&sums["live_views"], &sums["live_likes"], &sums["live_watch"])
    );
    // Judged by the same rule as the pipeline's own rows, where the video's length did not change meanwhile.
    assert_eq!(
        value(
            dir,
            "select (select count(*) from interactions where completed) \
             - (select cast(sum(completed) as bigint) from history.creator_days)"
        ),
        0
    );
    assert!(value(dir, "select cast(sum(completed) as bigint) from history.creator_days") > 10);

    conditions_skip_days_files_and_rows(dir, &service, raw);

    // Pages that were served.
    for _ in 0..3 {
        assert_eq!(service.get(&format!("/v1/feed/{}?limit=5", of(100, "user_id"))).0, 200);
    }
    wait_for("the pages to be archived", || {
        (value(dir, "select count(*) from history.served") >= 3).then_some(())
    });
    let items = rows(
        dir,
        "select count(*) as items, min(position) as first, count(distinct request_id) as pages from history.served_items",
    );
    assert_eq!(items[0]["first"], json!(0));
    assert!(
        items[0]["items"].as_i64().expect("a count") > items[0]["pages"].as_i64().expect("a count"),
        "{items:?}"
    );

    // What became of a place.
    let user = of(100, "user_id");
    let page = service.get(&format!("/v1/feed/{user}?limit=5")).1;
    let page: Json = serde_json::from_str(&page).expect("JSON");
    let (request, video) = (page["request_id"].clone(), page["items"][1]["video_id"].clone());
    service.post(&json!({
        "event_id": 800_000, "user_id": user, "video_id": video, "watch_ms": 4_321, "like": true, "request_id": request,
    }));
    wait_for("the label", || {
        (value(dir, "select count(*) from history.labelled_items where taken") > 0).then_some(())
    });
    let labels = rows(
        dir,
        &format!(
            "select position, cast(video_id as varchar) as video, taken, event_id, watch_ms, liked from history.labelled_items \
             where request_id = {} order by position",
            request.as_str().expect("text")
        ),
    );
    assert_eq!(labels.len(), page["items"].as_array().expect("a list").len());
    for (place, label) in labels.iter().enumerate() {
        assert_eq!((&label["position"], &label["video"]), (&json!(place), &page["items"][place]["video_id"]));
        let said =
            [&label["taken"], &label["event_id"], &label["watch_ms"], &label["liked"]].map(Json::clone);
        match place {
            1 => assert_eq!(said, [json!(true), json!(800_000), json!(4_321), json!(true)]),
            _ => assert_eq!(said, [json!(false), Json::Null, Json::Null, Json::Null], "{label}"),
        }
    }
    service.stop();

    // The same of a stopped service; and a configuration names the archive, too.
    let toml = std::fs::read_to_string(dir.join("history.toml")).expect("read");
    std::fs::write(dir.join("named.toml"), format!("{toml}dir = \"archive\"\n")).expect("written");
    for named in [&["--archive", "archive"][..], &["--config", "named.toml"]] {
        let asked = [&["--offline", "--store", "store", "--format", "json", "-c", DIFFER], named].concat();
        let differ = lines(&ok(sql(dir, &asked)));
        assert_eq!(
            (&differ[0]["interactions"], &differ[0]["videos"]),
            (&json!(0), &json!(0)),
            "{named:?} {differ:?}"
        );
    }
}

fn explained(dir: &Path, query: &str) -> String {
    ok(sql(dir, &["--store", "store", "--format", "csv", "-c", &format!("explain analyze {query}")]))
}

/// A metric of the scan of Parquet files.
fn metric(plan: &str, name: &str) -> u64 {
    let scan = plan.lines().find(|line| line.contains("DataSourceExec")).unwrap_or_else(|| panic!("{plan}"));
    let text = scan.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("{name}: {plan}"));
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{name}: {plan}"))
}

fn conditions_skip_days_files_and_rows(dir: &Path, service: &Service, all_rows: i64) {
    let files = |query: &str| {
        let plan = explained(dir, query);
        (metric(&plan, "files_opened"), plan)
    };
    let day =
        rows(dir, "select day, count(*) as n from history.interactions group by day order by n desc limit 1");
    let (day, in_day) = (day[0]["day"].as_str().expect("a day"), day[0]["n"].as_i64().expect("a count"));
    let (all, _) = files("select * from history.interactions where watch_ms > 0");
    for condition in [
        format!("day = date '{day}'"),
        format!("day = '{day}'"),
        format!("event_time >= timestamp '{day}' and event_time < timestamp '{day}' + interval '1 day'"),
    ] {
        let query = format!("select count(*), sum(watch_ms) from history.interactions where {condition}");
        let (read, plan) = files(&query);
        assert!((1..all).contains(&read), "{condition}: {read} of {all} files\n{plan}");
        let counted = value(dir, &format!("select count(*) from history.interactions where {condition}"));
        assert_eq!(counted, in_day, "{condition}");
    }
    let epoch = value(dir, "select max(epoch) from history.interactions");
    let (read, plan) = files(&format!("select user_id from history.interactions where epoch >= {epoch}"));
    assert!((1..all).contains(&read), "{read} of {all}\n{plan}");
    // One user's rows: the others are passed over before their columns are decoded, and only what is named is read.
    let user = value(dir, "select max(user_id) from history.interactions");
    let plan = explained(dir, &format!("select watch_ms from history.interactions where user_id = {user}"));
    let scan = plan.lines().find(|line| line.contains("DataSourceExec")).expect("a scan");
    assert!(scan.contains("predicate=user_id") && !scan.contains("device"), "{scan}");
    assert!(metric(&plan, "pushdown_rows_pruned") > 0, "{scan}");
    // Whatever is asked, what comes is the same as where nothing can be skipped.
    let conditions = [
        "liked".to_owned(),
        "not liked".to_owned(),
        "liked = false and watch_ms > 1000".to_owned(),
        "revision = 0".to_owned(),
        "duration_ms is not null".to_owned(),
        "session_id is null".to_owned(),
        format!("user_id = {user} or video_id in (1000000001, 1000000002)"),
        format!("not (user_id = {user} and liked)"),
        format!("day <> date '{day}'"),
        format!("event_time between timestamp '{day}' and timestamp '{day} 12:00:00'"),
        "watch_ms is null or watch_ms <= 500".to_owned(),
        "country like 'B%'".to_owned(),
    ];
    let both = |condition: &String| {
        format!(
            "select (select count(*) from history.interactions where {condition}) as quick, \
             (select count(*) from (select *, row_number() over () as n from history.interactions) i where {condition}) as slow"
        )
    };
    let questions: Vec<String> = conditions.iter().map(both).collect();
    let mut args = vec!["--store", "store", "--format", "json"];
    questions.iter().for_each(|question| args.extend(["-c", question.as_str()]));
    let counted = lines(&ok(sql(dir, &args)));
    assert_eq!(counted.len(), conditions.len());
    for (condition, row) in conditions.iter().zip(&counted) {
        assert_eq!(row["quick"], row["slow"], "{condition}");
    }
    // The number of rows is known without reading any; and nothing of the past asks anything of the pipeline.
    let asked = service.metric("freshet_sql_snapshot_seconds_count");
    assert_eq!(value(dir, "select count(*) from history.interactions"), all_rows);
    assert_eq!(service.metric("freshet_sql_snapshot_seconds_count"), asked);
}

#[test]
fn compaction_and_forgetting_break_no_query_and_show_no_row_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 23, 1_000);
    settings(dir, "");
    let service = archived(dir);
    // One process asks again and again while posted events roll files and small ones are put together.
    let mut asking = sql(dir, &["--store", "store", "--format", "json"]);
    let mut child =
        Guard(asking.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs"));
    let mut input = child.0.stdin.take().expect("piped");
    let mut answers = std::io::BufRead::lines(std::io::BufReader::new(child.0.stdout.take().expect("piped")));
    let mut ask = |query: &str| -> Json {
        std::io::Write::write_all(&mut input, format!("{query};\n").as_bytes()).expect("it reads");
        serde_json::from_str(&answers.next().expect("an answer").expect("UTF-8")).expect("a row")
    };
    let query = "select count(*) as n, count(distinct a.input_partition * 100000000 + a.input_offset) as once, \
        sum(a.watch_ms) - sum(b.watch_ms) as torn from history.interactions a \
        join (select input_partition as p, input_offset as o, watch_ms from history.interactions) b \
        on a.input_partition = b.p and a.input_offset = b.o";
    let number = |row: &Json, name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name}: {row}"));
    let logged = count(&logged(dir, "interactions"));
    let (mut before, mut grew) = (logged, 0);
    let mut manifests = std::collections::BTreeSet::new();
    for n in 0..40u64 {
        service.post(&json!({"event_id": 900_000 + n, "user_id": 900 + n % 7, "video_id": 1_000_000_001, "watch_ms": 1_000 + n}));
        let row = ask(query);
        let found = number(&row, "n");
        assert_eq!((number(&row, "once"), number(&row, "torn")), (found, 0), "{row}");
        assert!(
            (before..=logged + 1 + i64::try_from(n).expect("small")).contains(&found),
            "{row}: {before} before"
        );
        grew += i64::from(found > before);
        before = found;
        manifests.insert(std::fs::read(dir.join("archive/manifest.json")).expect("read"));
    }
    assert!(grew > 3 && manifests.len() > 5, "nothing happened meanwhile: {grew} {}", manifests.len());

    // A cursor that was begun before a forget goes on over what it opened; a query after it sees nothing of the subject.
    let user = value(
        dir,
        "select user_id from history.interactions group by user_id order by count(*) desc limit 1",
    );
    let of_user = format!("select count(*) as n from history.interactions where user_id = {user}");
    assert!(number(&ask(&of_user), "n") > 10);
    ok(freshet(
        dir,
        &[
            "forget",
            "--user",
            &user.to_string(),
            "--store",
            "store",
            "--config",
            "history.toml",
            "--input",
            "log",
            "--archive",
            "archive",
        ],
    ));
    assert_eq!(number(&ask(&of_user), "n"), 0);
    assert!(
        number(
            &ask(&format!(
                "select count(*) as n from history.deletes where target = 'user' and user_id = {user}"
            )),
            "n"
        ) == 1
    );
    let differ = wait_for("the archive to hold all that was read", || {
        let covered =
            ask("select max(through_epoch) >= max(freshet_epoch()) as covered from history.coverage");
        (covered["covered"] == json!(true)).then(|| ask(DIFFER))
    });
    assert_eq!((&differ["interactions"], &differ["videos"]), (&json!(0), &json!(0)), "{differ}");
    drop(input);
    assert!(child.0.wait().expect("our child").success());
    service.stop();
}

#[test]
fn what_is_not_committed_or_not_whole_is_not_shown() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 24, 800);
    settings(dir, "[checkpoint]\nat_end = false\nkeep = 5\n");
    let service = archived(dir);
    let archive = dir.join("archive");
    let entries = |folder: &Path| -> Vec<std::path::PathBuf> {
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        found.sort();
        found
    };
    let day = entries(&archive.join("interactions")).swap_remove(0);
    let file = entries(&day).swap_remove(0);
    // What a crash leaves: a whole file that no manifest names.
    std::fs::copy(&file, day.join("00000000000000000001-00000000000000000002-999999.parquet"))
        .expect("copied");
    let logged = count(&logged(dir, "interactions"));
    assert_eq!(value(dir, "select count(*) from history.interactions"), logged);
    assert_eq!(
        value(dir, "select count(*) from (select watch_ms from history.interactions where user_id > 0) i"),
        logged
    );

    let sum = "select sum(watch_ms), max(event_time), min(user_id), max(event_id) from history.interactions";
    let refused = |query: &str, args: &[&str]| {
        let (code, out, err) = run(sql(dir, &[&["--store", "store", "-c", query], args].concat()));
        assert_eq!(code, Some(1), "{query}: {out}{err}");
        assert!(out.is_empty(), "{query}: {out}");
        err
    };
    let bytes = std::fs::read(&file).expect("read");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("written");
    let err = refused(sum, &[]);
    assert!(err.contains("was written with") && err.contains("restore it from a copy"), "{err}");
    // Of the right length, but no Parquet any more: at the end, and in the middle.
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    for damaged in [4..bytes.len() - 8, 4..bytes.len() / 2] {
        let mut wrong = bytes.clone();
        wrong[damaged].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&file, &wrong).expect("written");
        let err = refused(sum, &[]);
        assert!(err.contains("error:") && !err.contains("took longer"), "{err}");
    }
    std::fs::remove_file(&file).expect("removed");
    let err = refused(sum, &[]);
    assert!(err.contains(name) && err.contains("it is not there"), "{err}");
    std::fs::write(&file, &bytes).expect("written");
    assert_eq!(rows(dir, sum).len(), 1);

    for write in ["insert into history.deletes select * from history.deletes", "drop view history.retention"]
    {
        assert!(refused(write, &[]).contains("only queries are answered"));
    }
    let manifest = std::fs::read(archive.join("manifest.json")).expect("read");
    std::fs::write(archive.join("manifest.json"), &manifest[1..]).expect("written");
    assert!(refused(sum, &[]).contains("checksum does not match"));
    std::fs::write(archive.join("manifest.json"), &manifest).expect("written");
    assert!(refused(sum, &["--archive", "log"]).contains("--archive log: no archive is there"));
    assert!(value(dir, "select count(*) from users") > 10, "the service goes on");
    older_checkpoint(dir, service, logged);

    // The same service without an archive.
    let service = Service::start(dir, &["--config", "history.toml"]);
    let (code, _, err) = run(sql(dir, &["--store", "store", "-c", "select count(*) from history.uploads"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("the service writes no archive (archive.dir)"), "{err}");
    service.stop();
}

/// A checkpoint that is older than the archive: rows of later epochs are not shown beside it.
fn older_checkpoint(dir: &Path, service: Service, logged: i64) {
    ok(freshet(dir, &["checkpoint", "now", "--store", "store", "--config", "history.toml"]));
    let all = logged + 5;
    let then = rows(dir, "select freshet_epoch() as epoch, count(*) as n from history.interactions");
    for n in 0..5u64 {
        service.post(&json!({"event_id": 900_000 + n, "user_id": 900 + n, "video_id": 1_000_000_001, "watch_ms": 1_000}));
    }
    wait_for("the posted events to be archived", || {
        (value(dir, "select count(*) from history.interactions") == all).then_some(())
    });
    service.stop();
    let asked = |query: &str| {
        let args = [
            "--offline",
            "--store",
            "store",
            "--config",
            "history.toml",
            "--archive",
            "archive",
            "--format",
            "json",
            "-c",
            query,
        ];
        lines(&ok(sql(dir, &args))).swap_remove(0)
    };
    // By itself history is all there is; beside live tables it is that of their epoch.
    assert_eq!(asked("select count(*) as n from history.interactions"), json!({"n": all}));
    assert_eq!(asked("select freshet_epoch() as epoch, count(*) as n from history.interactions"), then[0]);
    assert_eq!(
        asked("select count(*) as n from history.interactions h left join users u on u.user_id = h.user_id")
            ["n"],
        then[0]["n"]
    );
    assert_eq!(
        asked(
            "select count(*) as n from history.interactions where user_id in (select user_id from users) limit 3"
        )["n"],
        then[0]["n"]
    );
    let differ = asked(DIFFER);
    assert_eq!((&differ["interactions"], &differ["videos"]), (&json!(0), &json!(0)), "{differ}");
    let epochs: BTreeMap<String, i64> = serde_json::from_value(asked(
        "select max(h.epoch) as last, max(freshet_epoch()) as epoch from history.epochs h",
    ))
    .expect("numbers");
    assert_eq!(epochs["last"], epochs["epoch"]);
}
