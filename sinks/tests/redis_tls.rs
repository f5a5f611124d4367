//! `rediss://` against a real server whose certificate comes from an authority of the test's own, made by openssl.

use std::path::{Path, PathBuf};

use freshet_schema::store::Key;
use freshet_schema::{Epoch, UserId};
use freshet_sinks::{Claim, Commit, FeedStore, Redis, RedisOptions, StoreError};

#[path = "support/authority.rs"]
mod authority;
#[path = "support/redis_server.rs"]
mod redis_server;

use authority::authority;
use redis_server::{RedisServer, free_port};

/// A server that speaks TLS on the port that is returned; `clients` says whether it asks for their certificates.
fn server(dir: &Path, clients: &str) -> (RedisServer, u16) {
    let port = free_port();
    let file = |name: &str| dir.join(name).display().to_string();
    let (certificate, key, ca) = (file("own-server.pem"), file("own-server.key"), file("own-ca.pem"));
    let tls = port.to_string();
    let arguments = [
        &["--save", "", "--appendonly", "no", "--tls-port", &tls][..],
        &[
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            clients,
        ],
    ];
    (RedisServer::with(&arguments.concat()), port)
}

fn options(port: u16, ca: Option<PathBuf>) -> RedisOptions {
    RedisOptions { tls_ca: ca, ..RedisOptions::at(&format!("rediss://127.0.0.1:{port}/0")) }
}

/// Claims, writes and reads.
fn use_it(options: RedisOptions) -> Result<Vec<u8>, StoreError> {
    let key = Key::Feed(UserId(7));
    let store = Redis::open(options)?;
    store.claim(&Claim::default())?;
    store.commit(&Commit { epoch: Epoch(1), changes: vec![(key.clone(), Some(b"a list".to_vec()))] })?;
    Ok(store.get(&key)?.expect("it was written").to_vec())
}

fn refused(options: RedisOptions) -> String {
    let port = options.url.clone();
    // A writer waits for a server that is away, and so it does here: who asks is told at once.
    let store = Redis::open(options).expect("a client");
    let error = store.get(&Key::Feed(UserId(7))).expect_err(&port);
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    error.to_string()
}

#[test]
fn lists_go_over_tls_where_the_authority_is_trusted_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    authority(dir, "own");
    authority(dir, "other");
    let (_server, port) = server(dir, "no");
    assert_eq!(use_it(options(port, Some(dir.join("own-ca.pem")))).unwrap(), b"a list");
    for ca in [None, Some(dir.join("other-ca.pem"))] {
        let said = refused(options(port, ca));
        assert!(said.contains("rediss://127.0.0.1") && said.to_lowercase().contains("certificate"), "{said}");
    }
    // A name that the certificate does not have.
    let elsewhere = RedisOptions {
        url: format!("rediss://localhost:{port}/0"),
        ..options(port, Some(dir.join("own-ca.pem")))
    };
    assert!(refused(elsewhere).to_lowercase().contains("certificate"));
}

#[test]
fn a_server_that_asks_for_the_clients_certificate_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    authority(dir, "own");
    authority(dir, "other");
    let (_server, port) = server(dir, "yes");
    let ca = Some(dir.join("own-ca.pem"));
    let with = |name: &str| {
        let client = (dir.join(format!("{name}-client.pem")), dir.join(format!("{name}-client.key")));
        RedisOptions { tls_client: Some(client), ..options(port, ca.clone()) }
    };
    assert_eq!(use_it(with("own")).unwrap(), b"a list");
    refused(with("other"));
    refused(options(port, ca.clone()));
}
