//! What holds of objects in a folder and in a bucket alike.

use std::io;
use std::sync::Arc;

use freshet_archive::{Bucket, LocalDisk, Objects, OnDisk};
use object_store::memory::InMemory;
use object_store::path::Path;

/// Runs a test over a folder, and over a bucket in memory.
fn over_both(test: impl Fn(&dyn Objects)) {
    let dir = tempfile::tempdir().expect("a folder");
    test(&OnDisk::new(Arc::new(LocalDisk::new(dir.path()))));
    let bucket = Bucket::over(Arc::new(InMemory::new()), Path::from("a/b"), "s3://memory/a/b/");
    test(&bucket.expect("a runtime"));
}

#[test]
fn a_name_is_taken_once_and_replaced_on_request() {
    over_both(|objects| {
        objects.create("claims/7", "me", b"mine").expect("free");
        let error = objects.create("claims/7", "you", b"yours").expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(objects.read("claims/7").expect("there"), b"mine");
        objects.replace("claims/7", "you", b"yours").expect("on request");
        assert_eq!(objects.read("claims/7").expect("there"), b"yours");
        // No unfinished one is left.
        assert_eq!(objects.list("claims").expect("a folder"), ["7"]);
    });
}

#[test]
fn names_are_listed_by_folder_in_their_order() {
    over_both(|objects| {
        assert_eq!(objects.list("data").expect("none yet"), Vec::<String>::new());
        for name in ["data/two/x", "data/one/y", "data/one/x", "data2/z", "data/3"] {
            objects.create(name, "me", name.as_bytes()).expect("free");
        }
        assert_eq!(objects.list("data").expect("a folder"), ["3", "one", "two"]);
        assert_eq!(objects.list("data/one").expect("a folder"), ["x", "y"]);
        let folders = objects.folders("data", "o").expect("readable");
        assert_eq!(
            folders.into_iter().collect::<Vec<_>>(),
            [("one".to_owned(), vec!["x".to_owned(), "y".to_owned()])]
        );
        assert!(objects.folders("none", "").expect("none yet").is_empty());
        objects.rename("data/one/x", "data/one/z").expect("there");
        assert_eq!(objects.list("data/one").expect("a folder"), ["y", "z"]);
        assert_eq!(objects.read("data/one/z").expect("there"), b"data/one/x");
        for name in ["data/one/y", "data/one/z", "data/one/z"] {
            objects.remove(name).expect("gone, or not there");
        }
        objects.remove_folder("data/one").expect("empty");
        objects.settle("data").expect("a folder");
        assert_eq!(objects.list("data").expect("a folder"), ["3", "two"]);
        let error = objects.read("data/one/z").expect_err("gone");
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    });
}

#[test]
fn a_large_object_is_there_when_it_is_finished_and_not_before() {
    let piece: Vec<u8> = (0..1_500_000u32).map(|n| (n % 251) as u8).collect();
    over_both(|objects| {
        // None, one of less than a part, and some parts with a rest.
        for pieces in [0, 1, 9] {
            let name = format!("data/{pieces}");
            let mut file = objects.begin(&name).expect("begun");
            for n in 0..pieces {
                file.write(&piece[n..]).expect("written");
            }
            let there = objects.list("data").expect("a folder");
            assert!(!there.contains(&pieces.to_string()), "{there:?}");
            if pieces == 0 {
                continue;
            }
            file.finish().expect("finished");
            objects.settle("data").expect("a folder");
            let expected: Vec<u8> = (0..pieces).flat_map(|n| piece[n..].iter().copied()).collect();
            assert!(objects.read(&name).expect("there") == expected, "{pieces} pieces");
        }
        let mut given_up = objects.begin("data/given-up").expect("begun");
        for _ in 0..9 {
            given_up.write(&piece).expect("written");
        }
        drop(given_up);
        assert_eq!(objects.list("data").expect("a folder"), ["1", "9"]);
    });
}

#[test]
fn a_bucket_may_be_used_and_dropped_from_within_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let bucket =
            Bucket::over(Arc::new(InMemory::new()), Path::default(), "s3://memory").expect("a runtime");
        bucket.create("a", "me", b"1").expect("free");
        assert_eq!(bucket.list("").expect("readable"), ["a"]);
    });
}

/// Nobody listens on the discard port: after the attempts that are allowed there is an error, and it names the key and no secret.
#[test]
fn a_server_that_is_away_is_an_error_with_key_and_remedy() {
    use object_store::aws::AmazonS3Builder;
    use object_store::{BackoffConfig, RetryConfig};

    let backoff =
        BackoffConfig { init_backoff: std::time::Duration::from_millis(1), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: 2, ..RetryConfig::default() };
    let store = AmazonS3Builder::new()
        .with_bucket_name("jobs")
        .with_endpoint("http://127.0.0.1:9")
        .with_allow_http(true)
        .with_access_key_id("AKIAKEY")
        .with_secret_access_key("very-secret")
        .with_retry(retry)
        .build()
        .expect("a client");
    let bucket = Bucket::over(Arc::new(store), Path::from("one"), "s3://jobs/one").expect("a runtime");
    let error = bucket.create("claims/7", "me", b"mine").expect_err("nobody there");
    assert_eq!(error.kind(), io::ErrorKind::Other);
    let text = error.to_string();
    assert!(!text.contains("very-secret") && !text.contains("AKIAKEY"), "{text}");
    assert!(text.contains("127.0.0.1:9"), "{text}");
    assert_eq!(bucket.place("claims/7").to_str(), Some("s3://jobs/one/claims/7"));
}
