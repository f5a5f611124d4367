//! Debian's psql and Python drivers against the Postgres wire.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::docs::Question;
use crate::harness::{Guard, Service, freshet, ok, run, sql, start, world};

struct Postgres {
    process: Guard,
    host: String,
    port: String,
}

impl Postgres {
    fn start(dir: &Path) -> Self {
        let mut command = sql(dir, &["--store", "store", "--listen-pg", "127.0.0.1:0"]);
        command.env("FRESHET_SQL_PASSWORD", "a secret");
        let (process, line) = start(command);
        let address = line.rsplit(' ').next().expect("an address");
        let (host, port) = address.rsplit_once(':').expect("a port");
        Self { process, host: host.to_owned(), port: port.to_owned() }
    }

    fn psql(&self, password: &str, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new("psql");
        command.args(["-h", &self.host, "-p", &self.port, "-U", "freshet", "-d", "freshet", "-X"]).args(args);
        command.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "60");
        run(command)
    }

    #[track_caller]
    fn asked(&self, args: &[&str]) -> String {
        let (code, out, err) = self.psql("a secret", args);
        assert_eq!(code, Some(0), "{args:?}\n{out}\n{err}");
        out
    }

    #[track_caller]
    fn ok(&self, query: &str) -> String {
        self.asked(&["-A", "-t", "-c", query])
    }
}

/// What Debian's Python has of drivers, against the wire; says loudly what it has not.
fn clients(postgres: &Postgres, questions: &[Question]) {
    // The system's own interpreter has the system's packages.
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let Some(python) = python else {
        eprintln!(
            "SKIPPED: python3 is missing: psycopg and SQLAlchemy are not tested (apt-get install python3-psycopg)"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients.py");
    let mut command = Command::new(python);
    command.arg(script).args([&postgres.host, &postgres.port]);
    command.env("PGPASSWORD", "a secret").env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let asked: Vec<Json> = questions
        .iter()
        .map(|question| json!({"sql": question.sql, "columns": question.columns()}))
        .collect();
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, Json::from(asked).to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.lines().count(), 3, "{out}");
    for line in out.lines() {
        match line.strip_prefix("skipped: ") {
            Some(what) => eprintln!(
                "SKIPPED: {what} (apt-get install python3-psycopg python3-psycopg2 python3-sqlalchemy)"
            ),
            None => assert!(line.starts_with("ok: "), "{out}"),
        }
    }
}

#[test]
fn psql_reads_tables_and_writes_nothing() {
    assert!(
        Command::new("psql").arg("--version").output().is_ok(),
        "psql is missing: apt-get install postgresql-client"
    );
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // The world of the document.
    world(dir, 5, 3_000);
    let service = Service::start(dir, &["--archive", "archive"]);
    ok(freshet(dir, &["checkpoint", "now", "--store", "store"]));
    let (code, _, err) = run({
        let mut command = sql(dir, &["--store", "store", "--listen-pg", "127.0.0.1:0"]);
        command.env_remove("FRESHET_SQL_PASSWORD");
        command
    });
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("FRESHET_SQL_PASSWORD"), "{err}");

    let postgres = Postgres::start(dir);
    let (code, out, err) = postgres.psql("a guess", &["-c", "select 1"]);
    assert_ne!(code, Some(0), "{out}");
    assert!(out.is_empty() && err.to_lowercase().contains("password"), "{err}");

    assert_eq!(postgres.ok("select 1 + 1"), "2\n");
    let users: u64 = postgres.ok("select count(*) from users").trim().parse().expect("a count");
    assert!(users > 10);
    assert!(postgres.ok("select freshet_epoch()").trim().parse::<u64>().expect("an epoch") > 0);
    let agreed = "select count(*) from users u join (select user_id, count(*) as n from interactions group by user_id) i \
                  on u.user_id = i.user_id where u.interactions <> i.n";
    assert_eq!(postgres.ok(agreed), "0\n");
    let row = postgres
        .ok("select video_id, caption, hashtags, created_at, ready from videos order by video_id limit 1");
    assert_eq!(row.trim().split('|').count(), 5, "{row}");
    let listed = postgres.ok("\\d");
    assert!(listed.contains("video_stats") && listed.contains("user_facets"), "{listed}");
    let described = postgres.ok("\\d users");
    assert!(described.contains("user_id") && described.contains("last_at"), "{described}");

    // The documented questions, as they stand.
    crate::docs::holds(dir);
    let questions = crate::docs::questions();
    for question in &questions {
        let out = postgres.asked(&["-A", "-c", &question.sql]);
        let head: Vec<&str> = out.lines().next().expect("a head").split('|').collect();
        assert_eq!(head, question.columns(), "{}", question.sql);
    }
    let listed = postgres.ok("\\dt history.*");
    assert!(listed.contains("history|interactions|table"), "{listed}");
    let described = postgres.ok("\\d history.retention");
    assert!(described.contains("day_number|bigint"), "{described}");
    clients(&postgres, &questions);

    for write in [
        "insert into users values (1)",
        "create table t as select 1 as one",
        "select 1 as one into t",
        "drop table users",
        "copy (select 1) to '/dev/null'",
    ] {
        let (code, out, err) = postgres.psql("a secret", &["-c", write]);
        assert_ne!(code, Some(0), "{write}: {out}");
        assert!(err.contains("ERROR"), "{write}: {err}");
    }
    let (code, _, err) = postgres.psql("a secret", &["-c", "select * from cats"]);
    assert_ne!(code, Some(0));
    assert!(err.contains("cats"), "{err}");
    assert_eq!(postgres.ok("select count(*) from users"), format!("{users}\n"), "nothing is disturbed");
    postgres.process.stop();
    service.stop();
}
