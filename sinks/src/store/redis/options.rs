//! Where the Redis is and how to get in. A password never reaches a message: what is shown is the address.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{Client, ClientTlsConfig, IntoConnectionInfo, TlsCertificates};

use crate::store::StoreError;

/// How to reach a Redis or Valkey.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, `rediss://...` for TLS, `unix:///PATH`.
    pub url: String,
    /// Before every key.
    pub key_prefix: String,
    /// Instead of the address's user.
    pub username: Option<String>,
    /// Instead of the address's password.
    pub password: Option<String>,
    /// Certificates (PEM) to trust instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// The client's certificate chain and key (PEM), where the server asks for one.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a reader waits for an answer.
    pub read_timeout: Duration,
    /// How long the writer waits for an answer, before it connects again and repeats.
    pub write_timeout: Duration,
    /// Values and keys of one atomic batch in bytes, about: an epoch up to this size appears at once.
    pub batch_bytes: usize,
}

impl RedisOptions {
    /// The defaults for an address.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            key_prefix: String::new(),
            username: None,
            password: None,
            tls_ca: None,
            tls_client: None,
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(30),
            batch_bytes: 4 << 20,
        }
    }

    /// The address without user and password, and the prefix: for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let path = path.split('?').next().unwrap_or_default();
        let prefix = if self.key_prefix.is_empty() {
            String::new()
        } else {
            format!(" (keys {:?}...)", self.key_prefix)
        };
        format!("{scheme}://{host}{path}{prefix}")
    }

    /// A client. Connects to nothing yet.
    ///
    /// # Errors
    /// Where the address or a certificate cannot be used.
    pub fn client(&self) -> Result<Client, StoreError> {
        let wrong = |reason: String| StoreError::Settings { store: self.shown(), reason };
        let info = self.url.as_str().into_connection_info().map_err(|error| {
            wrong(format!(
                "the address is none ({error}); write redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE for TLS, or \
                 unix:///PATH"
            ))
        })?;
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let info = info.set_redis_settings(settings);
        let encrypted = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
        if !encrypted {
            if self.tls_ca.is_some() || self.tls_client.is_some() {
                return Err(wrong("certificates are of no use without TLS; write rediss://".to_owned()));
            }
            return Client::open(info).map_err(|error| wrong(error.to_string()));
        }
        // Several crates of one program may bring a provider; the first that is installed holds for all.
        drop(rustls::crypto::ring::default_provider().install_default());
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| {
                wrong(format!("{}: the certificate cannot be read: {error}", path.display()))
            })
        };
        let client_tls = match &self.tls_client {
            None => None,
            Some((certificate, key)) => {
                Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
            }
        };
        let root_cert = self.tls_ca.as_deref().map(read).transpose()?;
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
            .map_err(|error| wrong(format!("the certificates cannot be used: {error}")))
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisOptions").field(&self.shown()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let shown = |url: &str| RedisOptions::at(url).shown();
        assert_eq!(shown("redis://me:s3cr3t@cache.example:6380/2"), "redis://cache.example:6380/2");
        assert_eq!(shown("rediss://:p@ss@[::1]:6380?x=s3cr3t"), "rediss://[::1]:6380");
        assert_eq!(shown("unix:///run/redis.sock?pass=s3cr3t"), "unix:///run/redis.sock");
        let options = RedisOptions { key_prefix: "a:".to_owned(), ..RedisOptions::at("redis://u:s3cr3t@h") };
        assert_eq!(options.shown(), "redis://h (keys \"a:\"...)");
        assert!(!format!("{options:?}").contains("s3cr3t"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_connecting() {
        let refused = |options: RedisOptions| options.client().expect_err("refused").to_string();
        assert!(refused(RedisOptions::at("cache.example:6379")).contains("redis://HOST:PORT"));
        let ca = |url: &str| RedisOptions { tls_ca: Some("/no/such.pem".into()), ..RedisOptions::at(url) };
        assert!(refused(ca("redis://h")).contains("rediss://"));
        assert!(refused(ca("rediss://h")).contains("/no/such.pem"));
        RedisOptions::at("redis://h:1").client().expect("nothing is connected to");
        RedisOptions::at("rediss://h:1").client().expect("the system's certificates");
    }
}
