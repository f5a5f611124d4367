//! Objects in a bucket that speaks S3, or in any other store of the crate `object_store`.
//!
//! Whoever writes and reads here are threads that wait, so each call is handed to a small runtime of our own and waited for: it can
//! be made from anywhere, also from within another runtime. How long it may take is bounded: a request is tried again with growing
//! pauses for half a minute, and then it has failed.
//!
//! A name that only one can take is a PUT with `If-None-Match: *`. Small objects are one PUT; larger ones go up in parts, of
//! which one is held at a time, and are there when the last part was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, Error, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig,
};
use tokio::runtime::{Builder, Runtime};

use super::{Objects, Unfinished};

/// How a bucket's address begins.
pub const SCHEME: &str = "s3://";
/// The least that a part may have in S3, but for the last one.
const PART: usize = 5 << 20;
/// The longest answer: all of a large object over a slow line.
const ANSWER: &str = "300 seconds";
/// How long failures that may pass are tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Why there is no such bucket. Nothing was asked yet.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// An address that names none.
    #[error("{url:?}: {what}; write s3://BUCKET/PREFIX")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The environment does not say how to reach it.
    #[error(
        "{url}: {what}; credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, \
         AWS_REGION, AWS_ENDPOINT, AWS_ALLOW_HTTP)"
    )]
    Environment {
        /// The address.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// No threads.
    #[error("the client of {url}: {source}")]
    Runtime {
        /// The address.
        url: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// See the module.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What names are relative to, for messages.
    shown: PathBuf,
    /// There until the bucket is dropped.
    runtime: Option<Runtime>,
}

impl Bucket {
    /// The objects below `s3://BUCKET/PREFIX`. Everything else is in the usual variables `AWS_*`.
    ///
    /// # Errors
    /// [`BucketError`].
    pub fn open(url: &str) -> Result<Self, BucketError> {
        let (bucket, prefix) = Self::parse(url)?;
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if std::env::var_os("AWS_TIMEOUT").is_none() {
            builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), ANSWER);
        }
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: 10, retry_timeout: RETRY };
        let store = builder
            .with_retry(retry)
            .build()
            .map_err(|error| BucketError::Environment { url: url.to_owned(), what: said(&error) })?;
        Self::over(Arc::new(store), prefix, url)
    }

    /// Bucket and prefix of an address.
    ///
    /// # Errors
    /// [`BucketError::Address`].
    pub fn parse(url: &str) -> Result<(&str, Path), BucketError> {
        let wrong = |what: &str| {
            // What stands before an @ would be a secret in the wrong place.
            let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
            let url =
                url.rsplit_once('@').map_or(url.to_owned(), |(_, rest)| format!("{scheme}://...@{rest}"));
            BucketError::Address { url, what: what.to_owned() }
        };
        let rest = url.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(sound) {
            return Err(wrong("the name of the bucket is missing, or none"));
        }
        // The library strips one in silence.
        if prefix.starts_with('/') {
            return Err(wrong("a prefix does not begin with /"));
        }
        let prefix = Path::parse(prefix).map_err(|error| wrong(&error.to_string()))?;
        Ok((bucket, prefix))
    }

    /// The objects of another store, below `prefix`; `shown` is what messages call it.
    ///
    /// # Errors
    /// [`BucketError::Runtime`].
    pub fn over(store: Arc<dyn ObjectStore>, prefix: Path, shown: &str) -> Result<Self, BucketError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("bucket").enable_all().build();
        let runtime = runtime.map_err(|source| BucketError::Runtime { url: shown.to_owned(), source })?;
        let shown = PathBuf::from(shown.trim_end_matches('/'));
        Ok(Self { store, prefix, shown, runtime: Some(runtime) })
    }

    fn key(&self, name: &str) -> Path {
        name.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Has the runtime do something, and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, answer) = channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Who asked waits below.
                drop(sender.send(work.await));
            });
        }
        match answer.recv() {
            Ok(done) => done.map_err(|error| fault(&error)),
            Err(_) => Err(io::Error::other("the client of the bucket has ended")),
        }
    }

    fn put(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> io::Result<()> {
        let (store, key) = (Arc::clone(&self.store), self.key(name));
        let options = PutOptions::from(mode);
        self.wait(async move { store.put_opts(&key, bytes.into(), options).await.map(drop) })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Without waiting: whoever drops it may stand in another runtime, where waiting is forbidden.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What an error means to whoever works with names.
fn fault(error: &Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, said(error))
}

/// What an error and its causes say. Of an answer's XML only code and message are kept: the rest repeats what was sent, the access
/// key and the signature among it.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let own = error.to_string();
        // Many say their cause themselves.
        if !text.contains(&own) {
            let between = if text.is_empty() { "" } else { ": " };
            let _ = write!(text, "{between}{own}");
        }
        cause = error.source();
    }
    let Some(begin) = text.find('<') else { return text };
    let element = |name: &str| {
        let from = text.find(&format!("<{name}>"))? + name.len() + 2;
        let length = text[from..].find("</")?;
        Some(text[from..from + length].to_owned())
    };
    let kept = [element("Code"), element("Message")];
    let kept: Vec<String> = kept.into_iter().flatten().collect();
    format!("{}{}", &text[..begin], kept.join(": "))
}

impl Objects for Bucket {
    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.shown.clone() } else { self.shown.join(name) }
    }

    fn remedy(&self) -> &'static str {
        "see that the bucket exists, that its server answers (AWS_ENDPOINT, AWS_REGION; AWS_ALLOW_HTTP=true for one without TLS) and \
         that the credentials in AWS_* may list, read, write and delete there"
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn create(&self, name: &str, _by: &str, bytes: &[u8]) -> io::Result<()> {
        match self.put(name, bytes.to_vec(), PutMode::Create) {
            // The answer to a first attempt may have been lost, and the second finds our own.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match self.read(name) {
                Ok(there) if there == bytes => Ok(()),
                // Whose it is cannot be said.
                Err(unread) if unread.kind() != io::ErrorKind::NotFound => Err(unread),
                _ => Err(error),
            },
            other => other,
        }
    }

    fn replace(&self, name: &str, _by: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes.to_vec(), PutMode::Overwrite)
    }

    fn begin(&self, name: &str) -> io::Result<Box<dyn Unfinished + '_>> {
        Ok(Box::new(Parts { bucket: self, name: name.to_owned(), held: Vec::new(), upload: None }))
    }

    fn settle(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (store, from, to) = (Arc::clone(&self.store), self.key(from), self.key(to));
        self.wait(async move { store.rename(&from, &to).await })
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let (store, key) = (Arc::clone(&self.store), self.key(name));
        self.wait(async move { Ok(Vec::from(store.get(&key).await?.bytes().await?)) })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let (store, key) = (Arc::clone(&self.store), self.key(folder));
        let found = self.wait(async move { store.list_with_delimiter(Some(&key)).await })?;
        let objects = found.objects.iter().map(|object| &object.location);
        let names = objects.chain(&found.common_prefixes).filter_map(|path| path.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn folders(&self, folder: &str, begin: &str) -> io::Result<BTreeMap<String, Vec<String>>> {
        // One listing, a thousand names at a time, and not one for each folder.
        let (store, key) = (Arc::clone(&self.store), self.key(folder));
        let above = key.clone();
        let found: Vec<ObjectMeta> = self.wait(async move { store.list(Some(&key)).try_collect().await })?;
        let mut folders = BTreeMap::<String, Vec<String>>::new();
        for object in found {
            let Some(mut parts) = object.location.prefix_match(&above) else { continue };
            let (Some(folder), Some(name), None) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            if folder.as_ref().starts_with(begin) {
                folders.entry(folder.as_ref().to_owned()).or_default().push(name.as_ref().to_owned());
            }
        }
        folders.values_mut().for_each(|names| names.sort_unstable());
        Ok(folders)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (store, key) = (Arc::clone(&self.store), self.key(name));
        match self.wait(async move { store.delete(&key).await }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove_folder(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }
}

/// An object that goes up in parts, where it is larger than one.
struct Parts<'a> {
    bucket: &'a Bucket,
    name: String,
    held: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Parts<'_> {
    fn send_held(&mut self) -> io::Result<()> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let (store, key) = (Arc::clone(&self.bucket.store), self.bucket.key(&self.name));
                none.insert(self.bucket.wait(async move { store.put_multipart(&key).await })?)
            }
        };
        let part = upload.put_part(std::mem::take(&mut self.held).into());
        self.bucket.wait(part)
    }
}

impl Unfinished for Parts<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // All but the last have the same length, as some servers ask for.
        while self.held.len() + bytes.len() >= PART {
            let (fits, rest) = bytes.split_at(PART - self.held.len());
            self.held.extend_from_slice(fits);
            self.send_held()?;
            bytes = rest;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.upload.is_none() {
            return self.bucket.put(&self.name, std::mem::take(&mut self.held), PutMode::Overwrite);
        }
        if !self.held.is_empty() {
            self.send_held()?;
        }
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        self.bucket.wait(async move {
            let done = upload.complete().await.map(drop);
            if done.is_err() {
                // What remains of it is cleared away by the bucket's own rule for such uploads, where this fails too.
                drop(upload.abort().await);
            }
            done
        })
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        if let (Some(mut upload), Some(runtime)) = (self.upload.take(), &self.bucket.runtime) {
            // Not waited for: it is given up because the server does not answer, as often as not.
            runtime.spawn(async move { upload.abort().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_bucket_and_a_prefix() {
        let parse =
            |url: &'static str| Bucket::parse(url).map(|(bucket, prefix)| (bucket, prefix.to_string()));
        assert_eq!(parse("s3://b").expect("a bucket"), ("b", String::new()));
        assert_eq!(parse("s3://my.bucket-1/a/b/").expect("both"), ("my.bucket-1", "a/b".to_owned()));
        for wrong in ["s3://", "s3:///a", "s3://b ucket/a", "s3://b//a", "s3://b/../a"] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong) && error.contains("s3://BUCKET/PREFIX"), "{error}");
        }
        let error = parse("s3://key:secret@host/a").expect_err("no bucket").to_string();
        assert!(error.contains("...@host/a") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn what_a_server_repeats_of_the_request_is_not_told() {
        let error = io::Error::other(
            "403 Forbidden: <?xml?><Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message>\
             <AWSAccessKeyId>AKIA</AWSAccessKeyId><SignatureProvided>abc</SignatureProvided></Error>",
        );
        assert_eq!(said(&error), "403 Forbidden: SignatureDoesNotMatch: No.");
        assert_eq!(said(&io::Error::other("plain")), "plain");
    }
}
