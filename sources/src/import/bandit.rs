//! Logged bandit feedback as the Open Bandit Dataset has it (Saito, Aihara, Matsutani and Narita 2021): what stood where, with which
//! probability, and whether it was clicked. CSV or Parquet with a header.

use std::path::Path;

use super::field::{Field, Refusal};
use super::labelled::{Labelled, LabelledError};

/// The columns.
const COLUMNS: [&str; 4] = ["item_id", "position", "click", "propensity_score"];

/// A decision of the policy that was live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// What was shown.
    pub item: u64,
    /// Where.
    pub position: u64,
    /// Whether it was clicked.
    pub click: bool,
    /// Probability with which the policy showed it there, in (0, 1].
    pub propensity: f64,
}

/// Reads all decisions of a file.
///
/// # Errors
/// Where the file cannot be read, lacks a column, holds nothing, or holds a row that cannot be used.
pub fn read(path: &Path) -> Result<Vec<Round>, LabelledError> {
    let table = Labelled::open(path)?;
    let hint = "; the columns are item_id, position, click and propensity_score";
    let slots = COLUMNS.map(|name| table.need(&[name], hint).map(Some));
    let slots = slots.into_iter().collect::<Result<Vec<_>, _>>()?;
    table.rows(&slots, round)
}

fn round(fields: &[Field<'_>]) -> Result<Round, Refusal> {
    let [item, position, click, propensity] = fields else {
        unreachable!("a field for each of the four slots")
    };
    Ok(Round {
        item: item.need_id()?,
        position: position.need_id()?,
        click: click.flag()?.ok_or_else(|| click.refuse("missing_label", "0, 1, true or false"))?,
        propensity: propensity.probability()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Round>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log.csv");
        std::fs::write(&path, text).expect("room");
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn rounds_are_read_by_name() {
        let rounds = read_text(
            ",timestamp,item_id,position,click,propensity_score\n0,x,7,3,1,0.0125\n1,y,8,1,0,0.5\n",
        );
        let round = |item, position, click, propensity| Round { item, position, click, propensity };
        assert_eq!(rounds, Ok(vec![round(7, 3, true, 0.0125), round(8, 1, false, 0.5)]));
    }

    #[test]
    fn mistakes_name_the_file_the_place_and_the_remedy() {
        let head = "item_id,position,click,propensity_score";
        for (text, said) in [
            ("item_id,position,click\n1,1,0\n".to_owned(), "no column propensity_score"),
            (format!("{head}\n1,1,0,0.5\n1,1,0,0\n"), "row 2: column propensity_score"),
            (format!("{head}\n1,1,7,0.5\n"), "column click holds \"7\""),
            (format!("{head}\n"), "log.csv"),
        ] {
            let error = read_text(&text).expect_err(&text);
            assert!(error.contains(said) && error.contains("log.csv"), "{text:?}: {error}");
        }
    }
}
