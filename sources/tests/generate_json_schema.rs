//! What is written about events holds: the JSON Schemas are those of the types, the examples of `docs/events.md` are
//! records, its tables name every column, and the bundled sample is a log. `UPDATE_GOLDEN=1` rewrites the schemas.

use std::fs;
use std::path::{Path, PathBuf};

use freshet_schema::EventKind;
use freshet_sources::log::{Extent, PartitionReader, decode_json, discover, schema};
use freshet_sources::validate::{Limits, validate};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn json_schema(kind: EventKind) -> schemars::Schema {
    match kind {
        EventKind::Users => schemars::schema_for!(freshet_schema::User),
        EventKind::Uploads => schemars::schema_for!(freshet_schema::Upload),
        EventKind::Follows => schemars::schema_for!(freshet_schema::Follow),
        EventKind::Interactions => schemars::schema_for!(freshet_schema::Interaction),
        EventKind::Deletes => schemars::schema_for!(freshet_schema::Delete),
        EventKind::Served => schemars::schema_for!(freshet_schema::Served),
    }
}

/// Identifiers, times and epochs are written as numbers and read as numbers or as decimal strings, which a derived schema
/// does not know of.
fn admit_strings(definition: &mut serde_json::Value) {
    if definition["format"] != "uint64" {
        return;
    }
    let description = definition["description"].take();
    *definition = serde_json::json!({
        "description": description,
        "anyOf": [
            { "type": "integer", "format": "uint64", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]{1,20}$" },
        ],
    });
}

#[test]
fn the_schemas_are_current() {
    for kind in EventKind::ALL {
        let path = repository().join("docs/schema").join(format!("{}.json", kind.folder()));
        let mut made = json_schema(kind).to_value();
        for definition in made["$defs"].as_object_mut().into_iter().flat_map(|defs| defs.values_mut()) {
            admit_strings(definition);
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&made).expect("a schema is JSON") + "\n";
            fs::write(&path, text).expect("the schema can be written");
        }
        // As values: the order of the keys depends on how serde_json was built.
        let kept = fs::read_to_string(&path)
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        assert!(kept == Some(made), "{} is not current; run the test with UPDATE_GOLDEN=1", path.display());
    }
}

/// The part of the document about a kind.
fn section(document: &str, kind: EventKind) -> String {
    let begin = document.find(&format!("\n## {}\n", kind.folder())).expect("each kind has a section");
    let rest = &document[begin + 1..];
    rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
}

#[test]
fn the_examples_are_records_and_the_tables_complete() {
    let document = fs::read_to_string(repository().join("docs/events.md")).expect("docs/events.md is there");
    for kind in EventKind::ALL {
        let text = section(&document, kind);
        let examples =
            text.split("```json\n").nth(1).and_then(|t| t.split("```").next()).expect("an example");
        for line in examples.lines() {
            let event = decode_json(kind, line.as_bytes()).expect(line);
            validate(&event, &Limits::default()).expect(line);
        }
        for field in schema(kind).fields() {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{}` |", field.name())));
            let row = row.unwrap_or_else(|| panic!("{}: no row for {}", kind.folder(), field.name()));
            let parquet = row.split('|').nth(3).expect("a column for Parquet").trim();
            let column = field.data_type().to_string();
            assert!(
                column.starts_with(parquet.split(' ').next().unwrap_or("?")),
                "{}: {row} but {column}",
                kind.folder()
            );
            assert_eq!(
                row.contains("| required |") || row.contains("| for `"),
                row.contains("| for `") || !field.is_nullable(),
                "{row}"
            );
        }
    }
}

#[test]
fn the_sample_is_a_log() {
    let partitions = discover(&repository().join("data-sample")).expect("the bundled sample is a log");
    let mut bytes = 0;
    let mut counts = [0u64; 2];
    for (number, partition) in partitions.into_iter().enumerate() {
        bytes += fs::metadata(&partition.path).expect("it is there").len();
        let place = usize::from(partition.kind == EventKind::Interactions);
        let mut reader =
            PartitionReader::open(partition, number as u32, Limits::default()).expect("readable");
        while let Some(item) = reader.next(Extent::ALL).expect("readable") {
            item.decoded.expect("every record of the sample is good");
            counts[place] += 1;
        }
    }
    assert_eq!(counts, [5_661, 20_364]);
    assert!(bytes < 1 << 20, "{bytes} bytes is too much to carry along");
    assert!(repository().join("data-sample/ATTRIBUTION.md").exists());
}
