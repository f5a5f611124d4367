//! Debian's psql against the Postgres wire.

use std::path::Path;
use std::process::Command;

use crate::harness::{Guard, Service, run, sql, start, world};

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

    fn psql(&self, password: &str, query: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new("psql");
        command.args([
            "-h", &self.host, "-p", &self.port, "-U", "freshet", "-d", "freshet", "-X", "-A", "-t", "-c",
            query,
        ]);
        command.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "60");
        run(command)
    }

    #[track_caller]
    fn ok(&self, query: &str) -> String {
        let (code, out, err) = self.psql("a secret", query);
        assert_eq!(code, Some(0), "{query}\n{out}\n{err}");
        out
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
    world(dir, 12, 1_500);
    let service = Service::start(dir, &[]);
    let (code, _, err) = run({
        let mut command = sql(dir, &["--store", "store", "--listen-pg", "127.0.0.1:0"]);
        command.env_remove("FRESHET_SQL_PASSWORD");
        command
    });
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("FRESHET_SQL_PASSWORD"), "{err}");

    let postgres = Postgres::start(dir);
    let (code, out, err) = postgres.psql("a guess", "select 1");
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
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let docs = std::fs::read_to_string(docs).expect("docs/sql.md");
    let questions: Vec<&str> =
        docs.split("```sql\n").skip(1).map(|rest| rest.split("```").next().expect("an end")).collect();
    assert_eq!(questions.len(), 10);
    for question in questions {
        postgres.ok(question);
    }

    for write in [
        "insert into users values (1)",
        "create table t as select 1 as one",
        "select 1 as one into t",
        "drop table users",
        "copy (select 1) to '/dev/null'",
    ] {
        let (code, out, err) = postgres.psql("a secret", write);
        assert_ne!(code, Some(0), "{write}: {out}");
        assert!(err.contains("ERROR"), "{write}: {err}");
    }
    let (code, _, err) = postgres.psql("a secret", "select * from cats");
    assert_ne!(code, Some(0));
    assert!(err.contains("cats"), "{err}");
    assert_eq!(postgres.ok("select count(*) from users"), format!("{users}\n"), "nothing is disturbed");
    postgres.process.stop();
    service.stop();
}
