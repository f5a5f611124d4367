use freshet_schema::EventKind;

use super::*;

fn resolve(text: &str) -> Result<Config, Mistakes> {
    Config::resolve("f.toml", text, &[], &|name| (name == "SET").then(|| "secret-of-env".to_owned()))
}

fn mistakes(text: &str) -> Vec<Mistake> {
    resolve(text).expect_err("mistakes").0
}

#[test]
fn the_defaults_need_no_file() {
    let config = resolve("").expect("valid");
    assert_eq!(config.params, Params::default());
    assert_eq!(config.journal.dir, Path::new("data/store/journal"));
}

#[test]
fn what_is_printed_reads_back() {
    let text = "[feed]\nlength = 7\n[clock]\nmax_event_time = 2026-01-31T12:00:00.250Z\nepoch_ms = \"1s\"\n\
                [interest]\nblend = [1, 0.5, 0]\n[input]\ndir = 'a \"b\"'\n";
    let first = resolve(text).expect("valid");
    let mut second = resolve(&first.to_toml()).expect("what is printed is valid");
    second.origins.clone_from(&first.origins);
    assert_eq!(first, second);
    assert_eq!(first.clock.epoch_ms, 1_000);
    assert!(first.to_toml().contains("length = 7  # f.toml:2"), "{}", first.to_toml());
}

/// Each key, set to a value that is wrong for all kinds, is refused with its line: no key of the table is unchecked.
#[test]
fn every_key_refuses_nonsense() {
    for key in keys::KEYS {
        let text = format!("[{}]\n{} = [true]\n", key.section(), key.bare());
        let found = mistakes(&text);
        assert!(found.iter().any(|m| m.place == "f.toml:2" && m.key == key.name), "{}: {found:?}", key.name);
    }
}

/// Each default can be written and set again: get and set of every key agree.
#[test]
fn every_default_is_within_its_own_range() {
    let printed = Config::default().to_toml();
    for key in keys::KEYS {
        if let Some(value) = key.get(&mut Config::default()) {
            assert!(printed.contains(&format!("{} = {value}", key.bare())), "{}", key.name);
            resolve(&format!("[{}]\n{} = {value}\n", key.section(), key.bare())).expect(key.name);
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let found = mistakes(
        "stray = 1\n[fed]\nlength = 1\n[feed]\nlenght = 5\nlength = 0\nrefresh_after = 60\n[clock]\nepoch_ms = -5\n\
         [server]\nlisten = \"0.0.0.0:80\"\n[interest]\nmid_window = \"60d\"\n[score]\nlength = 3\n",
    );
    let at =
        |place: &str| found.iter().find(|m| m.place == place).unwrap_or_else(|| panic!("{place}: {found:?}"));
    assert_eq!(found.len(), 9, "{found:#?}");
    assert_eq!(at("f.toml:1").what, "no key stands outside of a section");
    assert_eq!(at("f.toml:2").remedy, "did you mean feed?");
    assert_eq!(at("f.toml:5").remedy, "did you mean length?");
    assert_eq!(at("f.toml:6").what, "out of range");
    assert!(at("f.toml:7").remedy.contains("\"90m\""));
    assert_eq!(at("f.toml:9").value, "-5");
    assert!(at("f.toml:11").remedy.contains("token_env"));
    assert!(at("f.toml:13").what.contains("longer than interest.long_window"));
    assert_eq!(at("f.toml:15").remedy, "did you mean feed.length?");
    let lines: Vec<usize> = found.iter().map(Mistake::line).collect();
    assert!(lines.is_sorted(), "in the order of the file: {lines:?}");
}

#[test]
fn the_keys_of_re_ranking_must_fit_each_other() {
    let found = mistakes("[learning]\nenabled = false\n[exploration]\npolicy = \"linucb\"\n");
    assert_eq!((found.len(), found[0].key.as_str()), (1, "exploration.policy"), "{found:?}");
    assert!(found[0].what.contains("learning.enabled is false"), "{found:?}");
    let found = mistakes("[exploration]\npolicy = \"linucb\"\narms = \"cohorts\"\n");
    assert_eq!((found.len(), found[0].key.as_str()), (1, "exploration.arms"), "{found:?}");
    assert!(found[0].remedy.contains("cohorts.enabled = true"), "{found:?}");
    assert!(resolve("[exploration]\narms = \"cohorts\"\n[cohorts]\nenabled = true\n").is_ok());
    let found = mistakes("[rerank]\nnovelty_share = 0.4\ntaste_full = 20\n");
    let told: Vec<(&str, &str)> = found.iter().map(|m| (m.key.as_str(), m.what.as_str())).collect();
    let expected = [
        ("rerank.novelty_max_share", "less than rerank.novelty_share = 0.4"),
        ("rerank.taste_until", "less than rerank.taste_full = 20"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_key_of_another_section_is_pointed_to() {
    assert_eq!(mistakes("[score]\npools_every = \"1h\"\n")[0].remedy, "did you mean feed.pools_every?");
    assert_eq!(mistakes("length = 3\n")[0].remedy, "put it under [feed]");
}

#[test]
fn broken_toml_names_its_lines() {
    let found = mistakes("[feed]\nlength = \nper_category = 3 3\n");
    assert!(found.iter().any(|m| m.place == "f.toml:2"), "{found:?}");
}

#[test]
fn the_token_comes_from_the_environment_and_is_never_printed() {
    let config = resolve("[server]\nlisten = \"0.0.0.0:80\"\ntoken_env = \"SET\"\n").expect("valid");
    assert_eq!(config.server.token.as_deref(), Some("secret-of-env"));
    assert!(!config.to_toml().contains("secret-of-env"));
    assert_eq!(
        mistakes("[server]\ntoken = 12345\n")[0].value,
        "",
        "a secret is not shown, also where it is wrong"
    );
    assert!(mistakes("[server]\ntoken_env = \"UNSET\"\n")[0].what.contains("not set"));
    assert!(mistakes("[server]\ntoken_env = \"SET\"\ntoken = \"x\"\n")[0].remedy.contains("one of the two"));
}

#[test]
fn the_command_line_wins_and_is_checked_alike() {
    let over = |key, value: &str, flag| (key, value.to_owned(), flag);
    let set =
        |overrides: &[Override]| Config::resolve("f.toml", "[graph]\nworkers = 9999\n", overrides, &|_| None);
    let config =
        set(&[over("graph.workers", "2", "--workers"), over("store.dir", "s", "--store")]).expect("valid");
    assert_eq!((config.graph.workers, config.journal.dir.as_path()), (2, Path::new("s/journal")));
    let wrong = set(&[over("graph.workers", "none", "--workers")]).expect_err("wrong").0;
    assert_eq!((wrong.len(), wrong[0].place.as_str()), (1, "--workers"));
}

#[test]
fn a_stream_may_have_a_format_of_its_own() {
    let config = resolve("[kafka]\nformats = { uploads = \"protobuf\" }\n").expect("valid");
    let formats =
        [EventKind::Uploads, EventKind::Users].map(|kind| config.kafka.payloads().of(kind).to_string());
    assert_eq!(formats, ["protobuf", "json"]);
    let found = mistakes("[kafka]\nformats = { upload = \"json\", users = \"avro\" }\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].what.contains("interactions") && found[1].what.contains("`avro`"), "{found:#?}");
}

#[test]
fn kafka_must_be_reachable_and_its_topics_told_apart() {
    let found =
        mistakes("[input]\nsource = \"kafka\"\n[kafka]\ndead_letters = \"freshet.users\"\nusers = \"a b\"\n");
    let told: Vec<&str> = found.iter().map(|m| m.key.as_str()).collect();
    assert_eq!(
        told,
        ["input.source", "kafka.dead_letters", "kafka.dead_letters", "kafka.users"],
        "{found:#?}"
    );
    let found = mistakes("[kafka]\nbrokers = \"localhost\"\nserved = \"freshet.users\"\nformat = \"avro\"\n");
    assert_eq!(found.iter().map(Mistake::line).collect::<Vec<_>>(), [2, 3, 4], "{found:#?}");
    assert!(found[2].remedy.contains("\"json\" or \"protobuf\""), "{found:#?}");
    let none: String =
        freshet_schema::EventKind::ALL.iter().map(|kind| format!("{} = \"\"\n", kind.folder())).collect();
    let text = format!("[input]\nsource = \"kafka\"\n[kafka]\nbrokers = \"a:1,b:2\"\n{none}");
    assert!(mistakes(&text)[0].what.contains("nothing to read"));
}

#[test]
fn options_are_passed_on_and_secrets_are_not_printed() {
    let text = "[kafka]\nbrokers = \"a:1\"\n[kafka.options]\nsecurity.protocol = \"SASL_SSL\"\n\"sasl.password\" = \"hush\"\n\
                \"socket.timeout.ms\" = 500\n[kafka.options_env]\n\"ssl.key.password\" = \"SET\"\n";
    let config = resolve(text).expect("valid");
    let connection = config.kafka.connection().expect("brokers are named");
    let option = |name: &str| connection.options.get(name).map(String::as_str);
    assert_eq!(option("security.protocol"), Some("SASL_SSL"));
    assert_eq!((option("socket.timeout.ms"), option("sasl.password")), (Some("500"), Some("hush")));
    assert_eq!(option("ssl.key.password"), Some("secret-of-env"));
    let printed = config.to_toml();
    assert!(printed.contains("\"security.protocol\" = \"SASL_SSL\""), "{printed}");
    assert!(!printed.contains("hush") && !printed.contains("secret-of-env"), "{printed}");
    assert!(printed.contains("options holds more, which is not shown"), "{printed}");

    let own = mistakes("[kafka]\nbrokers = \"a:1\"\noptions = { acks = 0 }\n");
    assert!(own[0].key == "kafka.options" && own[0].what.contains("in-sync"), "{own:#?}");
    let unset = mistakes("[kafka]\noptions_env = { \"sasl.password\" = \"UNSET\" }\n");
    assert!(unset[0].what.contains("not set") && unset[0].value.contains("UNSET"), "{unset:#?}");
    let wrong = mistakes("[kafka]\noptions = { \"sasl.password\" = [\"hush\"] }\n");
    assert!(wrong.iter().all(|m| !m.to_string().contains("hush")), "{wrong:#?}");
}

proptest::proptest! {
    /// Whatever stands in the file, in text or bytes, is a configuration or some mistakes.
    #[test]
    fn no_text_makes_it_panic(text in ".{0,120}", key in 0usize..400, value in "[-+0-9a-zA-Z\"'{}\\[\\]., ]{0,24}") {
        let _ = resolve(&text);
        let key = &keys::KEYS[key % keys::KEYS.len()];
        let (section, name) = key.name.split_once('.').expect("section.key");
        let _ = resolve(&format!("[{section}]\n{name} = {value}\n"));
        let _ = Config::resolve("f.toml", "", &[(key.name, value, "--flag")], &|_| None);
    }
}

#[test]
fn checkpoints_and_archive_may_be_in_a_bucket_and_nothing_else_may() {
    let both = "[checkpoint]\ndir = \"s3://jobs/freshet/one\"\n[archive]\ndir = \"s3://jobs/freshet/one\"\n";
    let config = resolve(both).expect("a bucket");
    assert_eq!(config.checkpoint.dir, Path::new("s3://jobs/freshet/one"));
    assert_eq!(config.archive.place().expect("no folder"), Some("s3://jobs/freshet/one".to_owned()));
    for (section, key) in [("input", "dir"), ("store", "dir"), ("journal", "dir")] {
        let found = mistakes(&format!("[{section}]\n{key} = \"s3://jobs/freshet\"\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        let text = found[0].to_string();
        assert!(text.contains("f.toml:2") && text.contains("a folder of this machine"), "{text}");
    }
    for (place, what) in [
        ("gs://jobs/one", "speaks like it"),
        ("s3://", "the bucket"),
        ("s3://key:hush@host/one", "...@host/one"),
    ] {
        for section in ["checkpoint", "archive"] {
            let found = mistakes(&format!("[{section}]\ndir = \"{place}\"\n"));
            assert_eq!(found.len(), 1, "{found:?}");
            let text = found[0].to_string();
            let key = format!("{section}.dir");
            assert!(
                text.contains(&key) && text.contains(what) && text.contains("s3://BUCKET/PREFIX"),
                "{text}"
            );
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
