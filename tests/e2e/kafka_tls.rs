//! Kafka over TLS, against the real broker: by a client's certificate and by SCRAM, and what is refused.

use std::path::Path;

use crate::broker::{Broker, Tls};
use crate::crash::eventful;
use crate::harness::{dump, ok, replay, run, same};

const ONCE: [&str; 8] = ["run", "--config", "kafka.toml", "--workers", "1", "--once", "--quiet", "--store"];

fn drained(dir: &Path, store: &str) -> String {
    ok(dir, &[&ONCE[..], &[store]].concat());
    dump(dir, store)
}

/// What ends a run that the brokers do not let in.
fn refused(dir: &Path) -> String {
    let (code, _, error) = run(dir, &[&ONCE[..], &["refused"]].concat());
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("do not let us in"), "{error}");
    error
}

fn options(options: &[(&str, &str)]) -> String {
    let line = |(key, value): &(&str, &str)| format!("\"{key}\" = \"{value}\"\n");
    format!("[kafka.options]\n{}", options.iter().map(line).collect::<String>())
}

#[test]
fn a_world_over_tls_leaves_the_bytes_that_it_leaves_through_files() {
    let certificates = tempfile::tempdir().expect("a folder");
    let broker = Broker::with_tls(certificates.path());
    let Tls { certified, scram, .. } = *broker.tls();
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let ca = file("own-ca.pem");
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 53);
    let files = replay(dir, "log", "files", "1");

    // Sent and read by who has a certificate.
    let (certificate, key) = (file("own-client.pem"), file("own-client.key"));
    let known = [
        ("security.protocol", "ssl"),
        ("ssl.ca.location", &ca),
        ("ssl.certificate.location", &certificate),
        ("ssl.key.location", &key),
    ];
    broker.config_at(certified, dir, "tls", &options(&known));
    ok(dir, &["produce", "log", "--config", "kafka.toml", "--create-topics", "1"]);
    same(&files, &drained(dir, "certified"), "files and topics over TLS");

    // Read by who knows the password.
    let user = |password| {
        let sasl =
            [("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", "freshet"), ("sasl.password", password)];
        options(&[&[("security.protocol", "sasl_ssl"), ("ssl.ca.location", &ca)], &sasl[..]].concat())
    };
    broker.config_at(scram, dir, "tls", &user("hush-hush"));
    same(&files, &drained(dir, "scram"), "files and topics over SCRAM");

    broker.config_at(scram, dir, "tls", &user("wrong-word"));
    let error = refused(dir);
    assert!(error.contains("SASL") && !error.contains("wrong-word"), "{error}");
    // Nor does it send in vain.
    for more in [&[][..], &["--create-topics", "1"]] {
        let (code, _, error) = run(dir, &[&["produce", "log", "--config", "kafka.toml"], more].concat());
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("do not let us in: ") && !error.contains("wrong-word"), "{error}");
    }
    // Without a certificate, and with a broker whose authority is not known.
    broker.config_at(certified, dir, "tls", &options(&known[..2]));
    let error = refused(dir);
    assert!(error.contains("alert"), "the broker says it: {error}");
    broker.config_at(certified, dir, "tls", &options(&known[..1]));
    let error = refused(dir);
    assert!(error.contains("verify"), "the client says it: {error}");
}
