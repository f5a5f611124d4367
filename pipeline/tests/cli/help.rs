use crate::support::{golden, ok, root, run_in};

#[test]
fn help_teaches() {
    let mut text = ok(&root(), &["--help"]);
    for command in [
        "run", "check", "import", "generate", "eval", "feed", "why", "heads", "related", "stats", "trending",
        "dump",
    ] {
        let help = ok(&root(), &[command, "--help"]);
        assert!(help.contains("Example"), "{command} --help shows no example");
        text.push_str(&format!("\n---- freshet {command} --help\n{help}"));
    }
    for measurement in
        ["retrieval", "holdout", "impressions", "pairs", "world", "cohorts", "exploration", "attacks"]
    {
        let help = ok(&root(), &["eval", measurement, "--help"]);
        assert!(help.contains("Example"), "{measurement} --help shows no example");
        text.push_str(&format!("\n---- freshet eval {measurement} --help\n{help}"));
    }
    golden("help.txt", &text);
}

#[test]
fn a_wrong_argument_is_a_usage_mistake() {
    for args in
        [&["feed", "minus"][..], &["run", "--onec"], &["import", "kuairant", "x", "--out", "y"], &["fed"]]
    {
        let (code, _, err) = run_in(&root(), args);
        assert_eq!(code, 2, "{args:?}: {err}");
    }
    let (_, _, err) = run_in(&root(), &["import", "kuairant", "x", "--out", "y"]);
    assert!(err.contains("kuairand"), "the known sets are named: {err}");
}

#[test]
fn a_missing_store_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let reading = [
        &["feed", "1"][..],
        &["why", "1", "2"],
        &["heads"],
        &["related", "1"],
        &["stats"],
        &["trending"],
        &["dump"],
    ];
    for args in reading {
        let (code, out, err) = run_in(dir.path(), &[args, &["--store", "nowhere"]].concat());
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains("nowhere") && err.contains("--store DIR"), "{args:?}: {err}");
        assert!(!dir.path().join("nowhere").exists(), "a reading command makes nothing");
    }
}
