//! `freshet import`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use freshet_sources::import::{DataSet, Options, import};
use freshet_sources::log::Format;

/// Turn a public data set into an event log
///
/// Reads the official files, recognised by their columns and in any order, and the Parquet files made from them. Prints
/// what was read, what was derived, what is absent, and what was refused, by reason.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet import shortvideo interaction.csv --out data/shortvideo
  freshet import kuairand log_standard_*.csv video_features_basic_1k.csv user_features_1k.csv --out data/kuairand
  freshet import kuairec big_matrix.csv item_categories.csv --out data/kuairec --format parquet")]
pub struct Import {
    /// shortvideo, kuairand, kuairec, microlens or globo
    #[arg(value_name = "SET")]
    set: DataSet,
    /// The data set's files
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// Where to write the log; must not hold one yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// jsonl, jsonl.gz, jsonl.zst or parquet; only jsonl can be appended to later
    #[arg(long, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Make up times for files that have none, in the order of their rows
    #[arg(long)]
    derive_time: bool,
}

impl Import {
    pub fn run(self) -> anyhow::Result<()> {
        let options = Options { derive_time: self.derive_time, format: self.format };
        let report = import(self.set, &self.files, &self.out, options)?;
        Ok(writeln!(std::io::stdout(), "{report}")?)
    }
}
