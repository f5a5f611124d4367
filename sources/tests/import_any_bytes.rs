//! Whatever the bytes of a file are, an import ends with a log of good records or with an error, and never in a panic.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, ListArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use freshet_schema::Millis;
use freshet_sources::import::{DataSet, ImportError, Options, import};
use freshet_sources::log::{Extent, Format, PartitionReader, discover};
use freshet_sources::validate::{ClockRule, DEFAULT_MIN_EVENT_TIME, Limits, check_clock};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

const FILES: [(DataSet, &str); 12] = [
    (DataSet::ShortVideo, "shortvideo/interaction.csv"),
    (DataSet::KuaiRand, "kuairand/log_standard_4_08_to_4_21_pure.csv"),
    (DataSet::KuaiRand, "kuairand/video_features_basic_pure.csv"),
    (DataSet::KuaiRec, "kuairec/small_matrix.csv"),
    (DataSet::KuaiRec, "kuairec/item_categories.csv"),
    (DataSet::KuaiRec, "kuairec/item_daily_features.csv"),
    (DataSet::KuaiRec, "kuairec/kuairec_caption_category.csv"),
    (DataSet::MicroLens, "microlens/MicroLens-50k_pairs.csv"),
    (DataSet::MicroLens, "microlens/MicroLens-50k_pairs.tsv"),
    (DataSet::MicroLens, "microlens/MicroLens-50k_titles.csv"),
    (DataSet::Globo, "globo/clicks_hour_000.csv"),
    (DataSet::Globo, "globo/articles_metadata.csv"),
];

const OPTIONS: Options = Options { derive_time: true, format: Format::Jsonl };

/// Reads a log back; every record must be good, and of a time that a log can hold.
fn check(dir: &Path) {
    let Ok(partitions) = discover(dir) else { return };
    for partition in partitions {
        let mut reader =
            PartitionReader::open(partition, 0, Limits::default()).expect("the importer wrote it");
        while let Some(item) = reader.next(Extent::ALL).expect("readable") {
            let event = item.decoded.expect("the importer writes good records");
            let rule = ClockRule::Replay { max_event_time: Millis(4_102_444_800_000) };
            check_clock(event.event_time(), DEFAULT_MIN_EVENT_TIME, rule).expect("of our time");
        }
    }
}

/// What is put into a file: single bytes, and numbers at the edges.
fn scrap() -> impl Strategy<Value = Vec<u8>> {
    let edges = [
        "-1",
        "18446744073709551615",
        "1e300",
        "-0.0",
        "NaN",
        "inf",
        "4294967296",
        "\"",
        ",",
        "\n",
        "\t",
        "[",
        "#",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..3),
        prop::sample::select(edges.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn mutated_files(which in 0..FILES.len(), cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, scrap()), 1..6)) {
        let (set, name) = FILES[which];
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let mut bytes = fs::read(&fixture).expect("fixture");
        for (at, width, scrap) in cuts {
            let at = at.index(bytes.len());
            let end = (at + width).min(bytes.len());
            bytes.splice(at..end, scrap);
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join(fixture.file_name().expect("a name"));
        fs::write(&path, bytes).expect("room");
        let out = dir.path().join("log");
        if import(set, &[path], &out, OPTIONS).is_ok() {
            check(&out);
        }
    }
}

fn parquet(path: &Path, batch: &RecordBatch) {
    let file = fs::File::create(path).expect("room");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), None).expect("a schema that Parquet can hold");
    writer.write(batch).expect("room");
    writer.close().expect("room");
}

#[test]
fn parquet_of_other_types_and_with_nulls() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("clicks.parquet");
    let schema = Schema::new(vec![
        Field::new("click_timestamp", DataType::Int64, true),
        Field::new("click_article_id", DataType::UInt64, false),
        Field::new("user_id", DataType::Utf8, false),
    ]);
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from(vec![Some(1_506_826_828_020), None, Some(1_506_826_828_021)])),
            Arc::new(UInt64Array::from(vec![u64::MAX, 2, 3])),
            Arc::new(StringArray::from(vec!["ann", "bob", "17"])),
        ],
    );
    parquet(&path, &batch.expect("columns of one length"));
    let out = dir.path().join("log");
    let report = import(DataSet::Globo, &[path], &out, OPTIONS).expect("good input");
    assert_eq!(report.files[0].refused["missing_time"].0, 1);
    assert_eq!(report.written["interactions"], 2);
    let text = fs::read_to_string(out.join("interactions/part-00000.jsonl")).expect("written");
    assert!(
        text.contains(&format!("\"user_id\":{}", freshet_schema::hash::text("ann")))
            && text.contains("\"user_id\":17")
    );
    check(&out);
}

#[test]
fn a_column_of_lists_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("item_categories.parquet");
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(27), Some(9)])]);
    let batch = RecordBatch::try_from_iter([
        ("video_id", Arc::new(Int64Array::from(vec![148])) as _),
        ("feat", Arc::new(lists) as _),
    ]);
    parquet(&path, &batch.expect("columns of one length"));
    let error =
        import(DataSet::KuaiRec, &[path], &dir.path().join("log"), OPTIONS).expect_err("a list is no text");
    assert!(matches!(error, ImportError::ColumnType { .. }));
    assert!(
        error.to_string().contains("item_categories.parquet") && error.to_string().contains("feat"),
        "{error}"
    );
}
