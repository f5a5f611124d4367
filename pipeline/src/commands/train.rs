//! `freshet train`

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use freshet_learning::topics::Training;

use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::table::{self, Align};
use crate::train;

/// Train what jobs take as given
#[derive(Debug, Args)]
pub struct Train {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Topics(TrainTopics),
}

/// Train topics on the videos of a log
///
/// Topics are directions about which the vectors of videos gather (spherical k-means, seeded): the same log and arguments give
/// the same file on every machine. A job that is given the file makes long-term interest of those topics that have more
/// than `interest.topic_share` of what a user watched; without one, categories stand in. Each embedding space gets topics of its
/// own. Prints each topic with the hashtags and categories that its videos have.
///
/// The topics belong to the `graph.seed` that vectors are projected by: give the job's configuration. A job with a history
/// takes new topics for what is counted from then on; to have them for all, replay into a new store.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet train topics data/log --out data/topics.json
  freshet train topics data/log --topics 20 --out data/topics.json --json

Then, in the job's configuration:
  [interest]
  topics = \"data/topics.json\"")]
struct TrainTopics {
    /// The event log; only its uploads and deletes are read
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The file to write; replaced where it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Topics of an embedding space, at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    topics: u32,
    /// Videos of a space to train on, at most: drawn by the hash of their number
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(2..))]
    sample: u32,
    /// Iterations, at most
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    iterations: u32,
    /// The job's configuration, for `graph.seed`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Train {
    pub fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Topics(topics) => topics.run(),
        }
    }
}

impl TrainTopics {
    fn run(self) -> anyhow::Result<()> {
        // The topics it may name are those that are to be replaced.
        let config = Config::load_without_topics(self.config.as_deref())?;
        let seed = config.params.seed;
        let interrupt = Interrupt::listen()?;
        let say = |what: &str| {
            if stderr().is_terminal() {
                eprintln!("{what}");
            }
        };
        say("reading uploads");
        let videos = train::read(&self.log, seed, interrupt.flag()).context("the log")?;
        if videos.refused > 0 {
            eprintln!("{} records refused, as a replay would", videos.refused);
        }
        say(&format!("training {} topics on {} videos", self.topics, videos.len()));
        let training = Training {
            topics: self.topics as usize,
            sample: self.sample as usize,
            iterations: self.iterations,
            seed,
        };
        let trained = videos.topics(&training)?;
        // A job that starts meanwhile reads the old file or the new one.
        let partial = self.out.with_extension("partial");
        std::fs::write(&partial, trained.topics.to_json())
            .and_then(|()| std::fs::rename(&partial, &self.out))
            .with_context(|| {
                format!("--out {:?}: cannot be written; name a file in a folder that exists", self.out)
            })?;
        let mut out = stdout();
        if self.json {
            let topic = |told: &train::Told| {
                serde_json::json!({
                    "space": told.space, "topic": told.number, "videos": told.videos,
                    "facets": told.facets.iter().map(|(name, share)| serde_json::json!({
                        "name": name, "percent": share,
                    })).collect::<Vec<_>>(),
                })
            };
            let topics: Vec<_> = trained.told.iter().map(topic).collect();
            return Ok(writeln!(out, "{}", serde_json::json!({ "topics": topics }))?);
        }
        let row = |told: &train::Told| {
            let facets = told.facets.iter().map(|(name, share)| format!("{name} {share} %"));
            let facets = facets.collect::<Vec<_>>().join(", ");
            vec![told.number.to_string(), told.videos.to_string(), told.space.clone(), facets]
        };
        let rows: Vec<Vec<String>> = trained.told.iter().map(row).collect();
        let columns = [
            ("topic", Align::Right),
            ("videos", Align::Right),
            ("space", Align::Left),
            ("of them have", Align::Left),
        ];
        Ok(write!(out, "{}", table::render(&columns, &rows))?)
    }
}
