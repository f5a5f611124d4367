//! Labelled pairs of users and items, to test predictions on: CSV, tab-separated text or Parquet with a header.

use std::path::Path;

use super::field::{Field, Refusal};
use super::labelled::{Labelled, LabelledError};

/// Names of the column with the user.
const USER: &[&str] = &["user", "user_id"];
/// Names of the column with the item.
const ITEM: &[&str] = &["item", "item_id", "video", "video_id"];
/// Name of the column with the propensity.
const PROPENSITY: &[&str] = &["propensity"];

/// A user was shown an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// To whom; read as an import reads it.
    pub user: u64,
    /// What.
    pub item: u64,
    /// What came of it.
    pub label: bool,
    /// Probability with which it was shown, in (0, 1]; `None` where the file does not say.
    pub propensity: Option<f64>,
}

/// Reads all pairs; `label` is the name of the column that holds what came of them (0, 1, true or false).
///
/// # Errors
/// Where the file cannot be read, lacks a column, holds nothing, or holds a row that cannot be used.
pub fn read(path: &Path, label: &str) -> Result<Vec<Pair>, LabelledError> {
    let table = Labelled::open(path)?;
    let user = table.need(USER, "")?;
    let item = table.need(ITEM, "")?;
    let labelled = table.need(&[label], ", or name the column with --label")?;
    let propensity = table.place(PROPENSITY);
    table.rows(&[Some(user), Some(item), Some(labelled), propensity], |fields| {
        pair(fields, propensity.is_some())
    })
}

fn pair(fields: &[Field<'_>], weighted: bool) -> Result<Pair, Refusal> {
    let [user, item, label, propensity] = fields else { unreachable!("a field for each of the four slots") };
    let label = label.flag()?.ok_or_else(|| label.refuse("missing_label", "0, 1, true or false"))?;
    let propensity = if weighted { Some(propensity.probability()?) } else { None };
    Ok(Pair { user: user.need_id()?, item: item.need_id()?, label, propensity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, label: &str) -> Result<Vec<Pair>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("test.csv");
        std::fs::write(&path, text).expect("room");
        read(&path, label).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_found_by_name() {
        let pairs = read_text("label,video_id,other,user_id\n1,7,x,3\nfalse,8,y,4\n", "label").expect("good");
        let pair = |user, item, label| Pair { user, item, label, propensity: None };
        assert_eq!(pairs, [pair(3, 7, true), pair(4, 8, false)]);
        let pairs = read_text("user,item,is_click,propensity\n1,2,1,0.25\n", "is_click").expect("good");
        assert_eq!(pairs, [Pair { propensity: Some(0.25), ..pair(1, 2, true) }]);
    }

    #[test]
    fn mistakes_name_the_file_the_place_and_the_remedy() {
        let fails = |text: &str, said: &[&str]| {
            let error = read_text(text, "label").expect_err(text);
            for words in said.iter().chain(&["test.csv"]) {
                assert!(error.contains(words), "{text:?}: {words} is missing: {error}");
            }
        };
        fails("user,item\n1,2\n", &["no column label", "user, item", "--label"]);
        fails("item,label\n1,2\n", &["user or user_id"]);
        fails("user,item,label\n1,2,1\n1,2,7\n", &["row 2", "column label holds \"7\"", "0, 1"]);
        fails("user,item,label\n1,2,\n", &["row 1", "column label holds nothing"]);
        fails("user,item,label\n1,-2,1\n", &["row 1", "column item"]);
        fails("user,item,label\n1,2\n", &["row 1", "2 fields"]);
        fails("user,item,label,propensity\n1,2,1,0\n", &["row 1", "column propensity", "up to 1"]);
        fails("user,item,label\n", &["no row"]);
    }

    #[test]
    fn parquet_does_as_well() {
        use arrow::array::{Int64Array, RecordBatch, UInt64Array};
        use std::sync::Arc;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("test.parquet");
        let batch = RecordBatch::try_from_iter([
            ("user", Arc::new(UInt64Array::from(vec![5, 6])) as arrow::array::ArrayRef),
            ("item", Arc::new(Int64Array::from(vec![1, 2]))),
            ("label", Arc::new(Int64Array::from(vec![0, 1]))),
        ])
        .expect("columns of one length");
        let file = std::fs::File::create(&path).expect("room");
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).expect("a schema");
        writer.write(&batch).expect("room");
        writer.close().expect("room");
        let pairs = read(&path, "label").expect("good");
        assert_eq!(
            pairs.iter().map(|p| (p.user, p.item, p.label)).collect::<Vec<_>>(),
            [(5, 1, false), (6, 2, true)]
        );
        assert!(read(&dir.path().join("none.csv"), "label").is_err());
    }
}
