//! `freshet generate`

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;

use clap::Args;
use freshet_sources::generate::{Attack, World, generate};
use freshet_sources::log::Format;

/// Write the event log of a synthetic world
///
/// Users with tastes that drift, creators, uploads over time, sessions, skips, likes; some events late, some twice. The
/// same arguments give the same bytes on every machine.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  freshet generate --users 2000 --videos 3000 --events 60000 --seed 7 --out data/log
  freshet generate --users 2000 --videos 3000 --events 60000 --out data/attacked --truth --attack ring --attack bots=40
  freshet generate --users 200000 --videos 100000 --events 5000000 --seed 1 --out data/large --format jsonl.zst")]
pub struct Generate {
    /// Users
    #[arg(long, value_name = "N")]
    users: u64,
    /// Videos
    #[arg(long, value_name = "N")]
    videos: u64,
    /// Interactions; duplicates and revisions come on top
    #[arg(long, value_name = "N")]
    events: u64,
    /// Another seed is another world
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Days that the log covers
    #[arg(long, value_name = "N", default_value_t = World::DAYS)]
    days: u64,
    /// Where to write the log; must not hold one yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// jsonl, jsonl.gz, jsonl.zst or parquet; only jsonl can be appended to later
    #[arg(long, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Also write the users' true tastes to DIR/truth, to measure lists against; with --attack also who attacks
    #[arg(long)]
    truth: bool,
    /// An attack on the world, on top of what its users do: bots (flick by the second and like without watching), farming (a few accounts
    /// like everything of a creator), ring (many accounts like the same videos within minutes), spam-uploads (near-duplicates by the
    /// dozen, liked at once by accounts of their own). SIZE is a number of accounts or a share of the users, such as 2%; repeatable
    #[arg(long = "attack", value_name = "KIND[=SIZE]")]
    attacks: Vec<Attack>,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        let world = World {
            days: self.days,
            truth: self.truth,
            format: self.format,
            attacks: self.attacks,
            ..World::new(self.users, self.videos, self.events, self.seed)
        };
        let terminal = stderr().is_terminal();
        let report = generate(&world, &self.out, &mut |done, of| {
            if terminal && of > 0 {
                // The progress is for whoever looks; nobody need.
                drop(write!(stderr(), "\r\x1b[2Kgenerating: {} %", done * 100 / of));
            }
        })?;
        if terminal {
            drop(write!(stderr(), "\r\x1b[2K"));
        }
        Ok(writeln!(stdout(), "{report}")?)
    }
}
