//! Each data set in its publisher's format: what is read, what is derived, what is refused, and that the bytes of the log
//! do not depend on the order of the arguments.

use std::fs;
use std::path::{Path, PathBuf};

use freshet_schema::signals::Provenance;
use freshet_schema::{EventKind, Interaction, Upload, User};
use freshet_sources::import::{DataSet, ImportError, Options, Report, import};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file of the shared data, which is not part of the repository.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {name} is not in ../shared/data, so this test checks nothing");
        return None;
    }
    Some(path)
}

struct Imported {
    report: Report,
    dir: TempDir,
}

impl Imported {
    fn records<T: DeserializeOwned>(&self, kind: EventKind) -> Vec<T> {
        let path = self.dir.path().join("log").join(kind.folder()).join("part-00000.jsonl");
        let text = fs::read_to_string(path).expect("the importer wrote this kind");
        text.lines().map(|line| serde_json::from_str(line).expect("a record of this kind")).collect()
    }

    fn interactions(&self) -> Vec<Interaction> {
        self.records(EventKind::Interactions)
    }

    fn uploads(&self) -> Vec<Upload> {
        self.records(EventKind::Uploads)
    }

    fn upload(&self, id: u64) -> Upload {
        self.uploads().into_iter().find(|u| u.video_id.0 == id).expect("this video was uploaded")
    }

    fn refused(&self, file: &str, reason: &str) -> u64 {
        let file = self.report.files.iter().find(|f| f.file.ends_with(file)).expect("this file was read");
        file.refused.get(reason).map_or(0, |(count, _)| *count)
    }

    fn provenance(&self, stream: &str, column: &str) -> Option<Provenance> {
        self.report.column(stream, column).expect("the report names this column").provenance()
    }
}

fn run(set: DataSet, files: &[PathBuf], options: Options) -> Result<Imported, ImportError> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let report = import(set, files, &dir.path().join("log"), options)?;
    Ok(Imported { report, dir })
}

fn read(set: DataSet, files: &[&str]) -> Imported {
    let files: Vec<_> = files.iter().map(|f| fixture(f)).collect();
    run(set, &files, Options::default()).expect("the fixture can be imported")
}

const DERIVE: Options = Options { derive_time: true, format: freshet_sources::log::Format::Jsonl };

#[test]
fn shortvideo_official() {
    let log = read(DataSet::ShortVideo, &["shortvideo/interaction.csv"]);
    let seen = log.interactions();
    assert_eq!(seen.len(), 3);
    assert!(seen.is_sorted_by_key(|i| i.event_time));
    let liked = &seen[1];
    assert_eq!((liked.user_id.0, liked.video_id.0, liked.event_time.0), (101, 2023, 1_663_471_335_000));
    assert_eq!((liked.watch_ms, liked.duration_ms), (Some(46_000), Some(138_566)));
    assert!(liked.like && !liked.dislike);
    assert!(seen[2].dislike);
    assert!(seen[0].comment && seen[0].follow && seen[0].share);

    let upload = log.upload(2023);
    assert_eq!((upload.caption.as_str(), upload.creator_id.0), ("海底捉龙虾", 78));
    assert_eq!(upload.hashtags, ["水下摄影"]);
    assert_eq!(upload.created_at.0, 1_663_471_335_000);
    assert_eq!(upload.category.as_deref(), Some("39"));
    let user = &log.records::<User>(EventKind::Users)[0];
    assert_eq!((user.age_band.as_deref(), user.gender.as_deref()), (Some("25-34"), Some("male")));

    let file = "interaction.csv";
    assert_eq!(log.report.files[0].rows, 10);
    for reason in [
        "duplicate_row",
        "missing_id",
        "not_a_number",
        "out_of_range",
        "not_a_flag",
        "field_count",
        "too_old",
    ] {
        assert_eq!(log.refused(file, reason), 1, "{reason}: {}", log.report);
    }
    assert_eq!(log.provenance("interactions", "like"), Some(Provenance::Observed));
    assert_eq!(log.provenance("interactions", "skip"), Some(Provenance::Absent));
    assert_eq!(log.provenance("uploads", "created_at"), Some(Provenance::Derived));
    assert_eq!(log.provenance("signals", "completed"), Some(Provenance::Derived));
}

const KUAIRAND: [&str; 4] = [
    "kuairand/log_standard_4_08_to_4_21_pure.csv",
    "kuairand/log_random_4_22_to_5_08_pure.csv",
    "kuairand/video_features_basic_pure.csv",
    "kuairand/user_features_pure.csv",
];

#[test]
fn kuairand_official() {
    let log = read(DataSet::KuaiRand, &KUAIRAND);
    let seen = log.interactions();
    assert_eq!(seen.len(), 5);
    assert_eq!((seen[0].video_id.0, seen[0].dislike, seen[0].duration_ms), (8, true, None));
    assert!(seen[1].like && !seen[1].dislike);
    assert!(seen[2].follow && seen[2].comment && seen[2].share);
    // Two rows of the same user, video and millisecond that differ are two events.
    assert_eq!((seen[2].event_time, seen[2].video_id), (seen[3].event_time, seen[3].video_id));
    assert_ne!(seen[2].event_id, seen[3].event_id);

    let standard = "log_standard_4_08_to_4_21_pure.csv";
    assert_eq!(log.refused(standard, "duplicate_row"), 1);
    assert_eq!(log.refused(standard, "not_an_id"), 1);
    assert_eq!(log.refused(standard, "missing_time"), 1);
    assert_eq!(log.refused("video_features_basic_pure.csv", "not_a_number"), 1);

    let seven = log.upload(7);
    assert_eq!((seven.creator_id.0, seven.sound_id.map(|s| s.0)), (5_067_285, Some(6_618_412_736)));
    assert_eq!(
        (seven.hashtags.as_slice(), seven.category.as_deref()),
        (&["12".into(), "65".into()][..], Some("12"))
    );
    // 2022-04-09 in China; 8 was seen on the day before it is said to be published, 10 was never seen, 9 has no features.
    assert_eq!(seven.created_at.0, 1_649_433_600_000);
    assert_eq!(log.upload(8).created_at, seen[0].event_time);
    assert_eq!(log.upload(10).created_at.0, 1_649_606_400_000);
    assert_eq!((log.upload(10).sound_id, log.upload(10).duration_ms), (None, 114_500));
    assert_eq!((log.upload(9).created_at.0, log.upload(9).duration_ms), (1_650_556_800_000, 9_233));
    assert_ne!(log.upload(9).creator_id, log.upload(8).creator_id);
    assert_eq!(log.report.written(EventKind::Users), 2);

    assert_eq!(log.provenance("interactions", "dislike"), Some(Provenance::Observed));
    assert_eq!(log.provenance("interactions", "session_id"), Some(Provenance::Absent));
    assert_eq!(log.provenance("interactions", "feed_position"), Some(Provenance::Absent));
    assert_eq!(log.provenance("signals", "session"), Some(Provenance::Derived));
    let watched = log.report.column("signals", "watched").expect("the report has the signals");
    assert_eq!((watched.derived, watched.absent), (4, 1), "video 8 has no duration anywhere");
}

#[test]
fn the_order_of_the_arguments_does_not_matter() {
    let mut turned = KUAIRAND;
    turned.reverse();
    let (one, other) = (read(DataSet::KuaiRand, &KUAIRAND), read(DataSet::KuaiRand, &turned));
    assert_eq!(one.report, other.report);
    for kind in [EventKind::Users, EventKind::Uploads, EventKind::Interactions] {
        let bytes = |log: &Imported| {
            fs::read(log.dir.path().join("log").join(kind.folder()).join("part-00000.jsonl"))
                .expect("written")
        };
        assert_eq!(bytes(&one), bytes(&other), "{kind:?}");
    }
}

#[test]
fn kuairec_official_has_no_likes() {
    let files = [
        "kuairec/small_matrix.csv",
        "kuairec/item_categories.csv",
        "kuairec/item_daily_features.csv",
        "kuairec/social_network.csv",
        "kuairec/kuairec_caption_category.csv",
    ];
    let log = read(DataSet::KuaiRec, &files);
    let seen = log.interactions();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].event_time.0, 1_593_898_068_378);
    assert_eq!((seen[1].watch_ms, seen[1].duration_ms), (Some(11_635), Some(6_100)));
    assert_eq!(log.refused("small_matrix.csv", "missing_time"), 1);
    assert_eq!(log.refused("small_matrix.csv", "not_a_number"), 1);
    for signal in ["like", "dislike", "share", "comment", "follow"] {
        assert_eq!(log.provenance("interactions", signal), Some(Provenance::Absent), "{signal}");
    }
    let daily = log.upload(148);
    assert_eq!((daily.creator_id.0, daily.sound_id.map(|s| s.0)), (3_309, Some(3_350_323_409)));
    assert_eq!(
        (daily.category.as_deref(), daily.hashtags.as_slice()),
        (Some("建筑"), &["27".into(), "9".into()][..])
    );
    assert_eq!(daily.created_at.0, 1_585_497_600_000);
    let captioned = log.upload(183);
    assert_eq!((captioned.caption.as_str(), captioned.category.as_deref()), ("精神小伙路难走", Some("颜值")));
    assert_eq!(captioned.hashtags, ["搞笑", "影视解说"]);
    // Known from its category alone: it is there from the beginning of the log.
    assert_eq!(log.upload(200).created_at, seen[0].event_time);
}

#[test]
fn microlens_official_has_no_watch_time() {
    let files = [
        "microlens/MicroLens-50k_pairs.csv",
        "microlens/MicroLens-50k_titles.csv",
        "microlens/MicroLens-50k_likes_and_views.txt",
        "microlens/tags_to_videoids.csv",
    ];
    let log = read(DataSet::MicroLens, &files);
    let seen = log.interactions();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|i| i.watch_ms.is_none() && i.comment && !i.like));
    assert_eq!(log.refused("pairs.csv", "missing_time"), 1);
    assert_eq!(log.provenance("interactions", "comment"), Some(Provenance::Derived));
    assert_eq!(log.provenance("signals", "watched"), Some(Provenance::Absent));
    let upload = log.upload(9580);
    assert_eq!(upload.hashtags, ["homemade summer food", "king of explosive"]);
    assert_eq!(upload.category.as_deref(), Some("Delicacy"));
    assert_eq!(upload.duration_ms, 0);
    assert_eq!(log.report.files.iter().map(|f| f.rows).sum::<u64>(), 4 + 3 + 2 + 2);
}

#[test]
fn sequences_without_time_need_a_word() {
    let files = [fixture("microlens/MicroLens-50k_pairs.tsv")];
    let error = run(DataSet::MicroLens, &files, Options::default()).err().expect("no time, no order");
    assert!(matches!(error, ImportError::NoTime { .. }));
    let text = error.to_string();
    assert!(text.contains("pairs.tsv") && text.contains("--derive-time"), "{text}");

    let log = run(DataSet::MicroLens, &files, DERIVE).expect("times may be made up");
    let seen = log.interactions();
    assert_eq!(seen.len(), 4);
    assert_eq!(log.provenance("interactions", "event_time"), Some(Provenance::Derived));
    let first: Vec<_> = seen.iter().filter(|i| i.user_id.0 == 1).map(|i| i.video_id.0).collect();
    assert_eq!(first, [10, 11, 12], "the order of the file is kept");
    assert_eq!(log.refused("pairs.tsv", "not_an_id"), 1);
}

#[test]
fn globo_official_is_clicks_only() {
    let log = read(DataSet::Globo, &["globo/clicks_hour_000.csv", "globo/articles_metadata.csv"]);
    let seen = log.interactions();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].session_id.map(|s| s.0), Some(1_506_825_423_271_737));
    assert_eq!(
        (seen[0].device.as_deref(), seen[0].os.as_deref(), seen[0].country.as_deref()),
        (Some("3"), Some("20"), Some("1"))
    );
    assert_eq!(log.refused("clicks_hour_000.csv", "out_of_range"), 1);
    assert_eq!(log.provenance("signals", "session"), Some(Provenance::Observed));
    assert_eq!(log.provenance("interactions", "watch_ms"), Some(Provenance::Absent));
    assert_eq!(log.upload(157_541).created_at.0, 1_506_800_000_000);
}

#[test]
fn errors_name_the_file_and_a_remedy() {
    let wrong = run(DataSet::KuaiRec, &[fixture("globo/clicks_hour_000.csv")], Options::default()).err();
    let text = wrong.expect("no file of this set").to_string();
    assert!(text.contains("clicks_hour_000.csv") && text.contains("click_article_id"), "{text}");
    assert!(text.contains("small_matrix.csv") && text.contains("play_duration"), "{text}");

    let missing = run(DataSet::KuaiRec, &[fixture("kuairec/nothing.csv")], Options::default()).err();
    assert!(missing.expect("no such file").to_string().contains("nothing.csv"));

    let none = run(DataSet::KuaiRec, &[], Options::default()).err().expect("no files");
    assert!(none.to_string().contains("item_categories.csv"));

    let twice = [fixture("globo/clicks_hour_000.csv"), fixture("globo/clicks_hour_000.csv")];
    assert!(matches!(run(DataSet::Globo, &twice, Options::default()).err(), Some(ImportError::Twice { .. })));

    let dir = tempfile::tempdir().expect("a temporary folder");
    let broken = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("room");
        run(DataSet::Globo, &[path], Options::default()).err().expect("a broken file").to_string()
    };
    assert!(broken("clicks.csv.zst", b"no zstd").contains("clicks.csv.zst"));
    assert!(broken("clicks.parquet", b"PAR1 is not enough").contains("Parquet"));
    assert!(broken("clicks.xlsx", b"").contains(".csv"));
    assert!(broken("empty.csv", b"").contains("articles_metadata.csv"));
    let whole = zstd::encode_all(&fs::read(fixture("globo/clicks_hour_000.csv")).expect("fixture")[..], 1);
    let whole = whole.expect("compressed");
    assert!(broken("cut.csv.zst", &whole[..whole.len() / 2]).contains("download is complete"));
    let mut remapped = vec![dir.path().join("positives.csv"), fixture("kuairec/item_categories.csv")];
    fs::write(&remapped[0], "user,item,split\n0,1,train\n").expect("room");
    assert!(matches!(run(DataSet::KuaiRec, &remapped, DERIVE).err(), Some(ImportError::RemappedIds { .. })));
    remapped.truncate(1);
    assert_eq!(
        run(DataSet::KuaiRec, &remapped, DERIVE).expect("alone").report.written(EventKind::Interactions),
        1
    );
}

#[test]
fn compressed_text_reads_as_plain_text() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let plain = fs::read(fixture("microlens/MicroLens-50k_pairs.csv")).expect("fixture");
    let path = dir.path().join("pairs.csv.zst");
    fs::write(&path, zstd::encode_all(&plain[..], 1).expect("compressed")).expect("room");
    let log = run(DataSet::MicroLens, &[path], Options::default()).expect("good input");
    assert_eq!(log.interactions().len(), 3);
}

#[test]
fn shortvideo_sample() {
    let Some(path) = shared("shortvideo_tsinghua_0916_0920.parquet") else { return };
    let log = run(DataSet::ShortVideo, &[path], Options::default()).expect("the sample can be imported");
    let seen = log.interactions();
    assert_eq!(seen.len(), 19_358);
    assert_eq!(seen.iter().filter(|i| i.like).count(), 362);
    assert_eq!(seen.iter().filter(|i| i.follow).count(), 76);
    let uploads = log.uploads();
    assert_eq!(uploads.len(), 1_803);
    assert!(uploads.iter().all(|u| u.category.is_some() && u.duration_ms > 0));
    assert!(log.report.files[0].refused.is_empty(), "{}", log.report);
}

#[test]
fn kuairand_explicit_sample() {
    let Some(path) = shared("kuairand27k_explicit_even_users.parquet") else { return };
    let log = run(DataSet::KuaiRand, &[path], Options::default()).expect("the sample can be imported");
    let file = &log.report.files[0];
    assert_eq!(file.rows, 20_440);
    let refused: u64 = file.refused.values().map(|(n, _)| n).sum();
    let seen = log.interactions();
    assert_eq!(seen.len() as u64 + refused, 20_440);
    assert!(seen.iter().all(|i| i.like != i.dislike));
    assert_eq!(log.uploads().len(), 5_661);
    // The bundled sample is this very log.
    for kind in [EventKind::Interactions, EventKind::Uploads] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data-sample").join(kind.folder());
        let bundled = fs::read(folder.join("part-kuairand27k.jsonl.zst")).expect("the sample is bundled");
        let bundled = zstd::decode_all(&bundled[..]).expect("the sample is whole");
        let made = fs::read(log.dir.path().join("log").join(kind.folder()).join("part-00000.jsonl"));
        assert!(
            bundled == made.expect("written"),
            "data-sample/{} is not what an import makes",
            kind.folder()
        );
    }
}

#[test]
fn kuairand_pure_videos_and_positives() {
    let Some(path) = shared("kuairand_pure_video_features_basic.parquet") else { return };
    let log =
        run(DataSet::KuaiRand, &[path], Options::default()).expect("features alone are a log of uploads");
    assert_eq!(log.report.written(EventKind::Uploads), 7_583);
    assert_eq!(log.provenance("uploads", "created_at"), Some(Provenance::Observed));
    let Some(path) = shared("kuairand_pure_standard_positives.parquet") else { return };
    assert!(matches!(
        run(DataSet::KuaiRand, &[path], Options::default()).err(),
        Some(ImportError::NoTime { .. })
    ));
}

#[test]
fn microlens_samples() {
    let (Some(titles), Some(tags), Some(totals)) = (
        shared("microlens50k_titles.csv.zst"),
        shared("microlens100k_tags.csv.zst"),
        shared("microlens100k_likes_and_views.txt.zst"),
    ) else {
        return;
    };
    let log =
        run(DataSet::MicroLens, &[titles, tags, totals], Options::default()).expect("contents are uploads");
    assert_eq!(log.report.files[0].rows, 19_220);
    assert_eq!(log.report.files[2].rows, 19_738);
    assert_eq!(log.provenance("uploads", "created_at"), Some(Provenance::Derived));
    assert!(log.uploads().iter().filter(|u| !u.hashtags.is_empty()).count() > 15_000);
}
