use crate::support::{ok, run_in, world};

#[test]
fn the_same_arguments_give_the_same_log() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    world(one.path(), 500);
    world(two.path(), 500);
    let log =
        |dir: &std::path::Path| std::fs::read(dir.join("log/interactions/part-00000.jsonl")).expect("a log");
    assert!(!log(one.path()).is_empty());
    assert!(log(one.path()) == log(two.path()));
}

#[test]
fn a_log_is_not_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    world(dir.path(), 100);
    let (code, _, err) =
        run_in(dir.path(), &["generate", "--users", "4", "--videos", "8", "--events", "10", "--out", "log"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("error: ") && err.contains("log"), "{err}");
}

#[test]
fn an_official_file_becomes_a_log_and_a_report() {
    let dir = tempfile::tempdir().expect("a folder");
    let csv = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n\
               14,148,4381,6067,2020-07-05 05:27:48.378,20200705,1593898068.378,0.722\n\
               14,183,11635,6100,2020-07-05 05:28:00.057,20200705,1593898080.057,1.907\n\
               14,190,11635,6100,soon,20200705,soon,1.907\n";
    std::fs::write(dir.path().join("big_matrix.csv"), csv).expect("written");
    let report = ok(dir.path(), &["import", "kuairec", "big_matrix.csv", "--out", "log"]);
    assert!(report.contains("big_matrix.csv") && report.contains("refused"), "{report}");
    let log = std::fs::read_to_string(dir.path().join("log/interactions/part-00000.jsonl")).expect("a log");
    assert_eq!(log.lines().count(), 2, "{log}");

    let (code, _, err) = run_in(dir.path(), &["import", "globo", "big_matrix.csv", "--out", "other"]);
    assert_eq!(code, 1);
    assert!(err.contains("big_matrix.csv"), "{err}");
}
