use crate::support::{golden, ok, root, run_in};

#[test]
fn the_shipped_configurations_are_right() {
    for name in ["seed", "demo", "redis"] {
        golden(
            &format!("check_{name}.txt"),
            &ok(&root(), &["check", "--config", &format!("configs/{name}.toml")]),
        );
    }
}

#[test]
fn the_other_shipped_configurations_are_valid() {
    for name in ["news", "kafka", "kafka-redis"] {
        ok(&root(), &["check", "--config", &format!("configs/{name}.toml")]);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let dir = root().join("pipeline/tests/golden");
    let (code, out, err) = run_in(&dir, &["check", "--config", "bad.toml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    golden("check_bad.txt", &err);
}

#[test]
fn mistakes_about_redis_are_told_at_once() {
    let dir = root().join("pipeline/tests/golden");
    let (code, out, err) = run_in(&dir, &["check", "--config", "bad_redis.toml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    golden("check_bad_redis.txt", &err);
    assert!(!err.contains("s3cr3t"), "{err}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, _, err) = run_in(&root(), &["check", "--config", "configs/none.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("configs/none.toml: cannot be read") && err.contains("remedy:"), "{err}");
}

#[test]
fn what_check_prints_is_a_configuration() {
    let dir = tempfile::tempdir().expect("a folder");
    let printed = ok(&root(), &["check", "--config", "configs/seed.toml"]);
    std::fs::write(dir.path().join("again.toml"), &printed).expect("written");
    let again = ok(dir.path(), &["check", "--config", "again.toml"]);
    let bare = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(bare(&printed), bare(&again));
}

/// Every default of the seed documents that this release works with is in `configs/seed.toml` as the code has it.
#[test]
fn the_seed_file_says_what_the_code_does() {
    let bare = |text: String| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
    };
    let seed = bare(ok(&root(), &["check", "--config", "configs/seed.toml"]));
    // A log that is replayed cannot answer to cohorts, to places that explore, nor to wider lists, and may hold nothing but positives: these are for whoever
    // serves lists, as the seed does.
    let (mut plain, mut on) = (bare(ok(&root(), &["check"])), 0);
    let mut section = String::new();
    for line in &mut plain {
        if line.starts_with('[') {
            section.clone_from(line);
        } else if ["[cohorts]", "[abuse]"].contains(&section.as_str()) && line == "enabled = false" {
            *line = "enabled = true".to_owned();
            on += 1;
        } else if line == "policy = \"off\"" {
            *line = "policy = \"linucb\"".to_owned();
            on += 1;
        } else if line == "narrow_last = 0" {
            *line = "narrow_last = 40".to_owned();
            on += 1;
        }
    }
    assert_eq!(on, 4, "cohorts, abuse, exploration and wider lists are off where nobody asks for them");
    assert_eq!(seed, plain);
}

#[test]
fn the_keys_are_listed_with_their_ranges() {
    golden("check_keys.txt", &ok(&root(), &["check", "--keys"]));
}
