//! What is no query, is wrong, takes too long or is broken off: clear errors, and nothing is disturbed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::{Guard, Service, lines, ok, run, sql, value, wait_for, world};

#[test]
fn wrong_queries_and_writes_are_refused_and_results_have_forms() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 9, 1_000);
    let service = Service::start(dir, &[]);
    let refused = |query: &str, why: &str| {
        let (code, out, err) = run(sql(dir, &["--store", "store", "-c", query]));
        assert_eq!(code, Some(1), "{query}: {out}{err}");
        assert!(err.starts_with("error: ") && err.contains(why), "{query}: {err}");
        assert!(out.is_empty(), "{query}: {out}");
    };
    refused("select * from cats", "cats");
    refused("select age from users", "age");
    refused("selec 1", "selec");
    let only = "only queries are answered";
    refused("insert into topics values (1, 1, 'topic', 1)", only);
    refused("create table t as select 1 as one", only);
    refused("create external table t stored as csv location '/etc/passwd'", only);
    refused("drop table users", only);
    refused("copy (select 1) to 'out.csv'", only);
    refused("explain analyze copy (select 1) to 'out.csv'", only);
    assert!(!dir.join("out.csv").exists());
    refused("select freshet_epoch(1)", "freshet_epoch");
    let (code, _, err) = run(sql(
        dir,
        &[
            "--store",
            "store",
            "--timeout",
            "0.3",
            "-c",
            "select sum((a.user_id + b.user_id * c.user_id) % 1000) from interactions a, interactions b, interactions c",
        ],
    ));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("took longer than 0.3 s and was cancelled"), "{err}");
    assert!(value(dir, "select count(*) from users") > 10, "the service goes on");

    let both = &[
        "--store",
        "store",
        "--format",
        "json",
        "-c",
        "select 1 as a; select freshet_epoch() as b",
        "-c",
        "select 3 as c",
    ];
    let found = lines(&ok(sql(dir, both)));
    assert_eq!(found.len(), 3);
    assert!(found[1]["b"].as_i64().expect("an epoch") > 0);
    let table = ok(sql(dir, &["--store", "store", "-c", "select 7 as seven, 'x' as x"]));
    assert!(table.contains("| seven | x |") && table.ends_with("1 row\n"), "{table}");
    let csv =
        ok(sql(dir, &["--store", "store", "--format", "csv", "-c", "select video_id, hashtags from videos"]));
    assert!(csv.starts_with("video_id,hashtags\n") && csv.lines().count() > 100, "{csv}");
    ok(sql(
        dir,
        &["--store", "store", "--format", "parquet", "--out", "v.parquet", "-c", "select * from videos"],
    ));
    let (code, _, err) = run(sql(
        dir,
        &[
            "--store",
            "store",
            "--format",
            "parquet",
            "--out",
            "v.parquet",
            "-c",
            "select 1",
            "-c",
            "select 2",
        ],
    ));
    assert!(code == Some(1) && err.contains("the rows of one query, and there are 2"), "{code:?} {err}");
    let bytes = std::fs::read(dir.join("v.parquet")).expect("it was written, and is still there");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    service.stop();
}

#[test]
fn who_goes_in_the_middle_holds_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 10, 3_000);
    // A single snapshot at a time: the next query needs the one before to be gone.
    std::fs::write(dir.join("one.toml"), "[sql]\nmax_snapshots = 1\ntimeout = \"30s\"\n").expect("written");
    let service = Service::start(dir, &["--config", "one.toml"]);
    let mut asking = sql(
        dir,
        &["--store", "store", "--format", "csv", "-c", "select * from interactions a, interactions b"],
    );
    let mut child = Guard(asking.stdout(Stdio::piped()).spawn().expect("the binary runs"));
    let mut out = BufReader::new(child.0.stdout.take().expect("piped"));
    let mut head = String::new();
    out.read_line(&mut head).expect("the head");
    assert!(head.starts_with("user_id,"), "{head}");
    child.0.kill().expect("our child");
    drop((child, out));
    wait_for("the snapshot to be let go of", || {
        let (code, out, err) =
            run(sql(dir, &["--store", "store", "--format", "csv", "-c", "select 1 as one from snapshot"]));
        assert!(code == Some(0) || err.contains("sql.max_snapshots"), "{err}");
        (code == Some(0)).then(|| assert_eq!(out.lines().count(), 2, "{out}"))
    });
    service.stop();
}
