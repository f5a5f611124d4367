//! What cohorts, exploration, abuse, experiments and diversity cost: the same worlds without any of them and with all, in one run.
//!
//! Lists are those of a whole replay of the world of `make demo`. With cohorts many more of them are made of the same events, so what
//! the same replay takes without any list is taken off before they are compared. Abuse and the sums of experiments, which need no lists,
//! are measured again in the features' world.

use std::fs;

use crate::Bench;
use crate::features::{LONG_EPOCHS, replay, world};
use crate::poster::DEMO;
use crate::report::{Figure, Report, Target};
use crate::service::Service;
use crate::state::link;
use crate::world::Size;

const GROUP: &str = "growth";

/// None: all are off by default.
const NONE: &str = "";
/// All, in the middle of what they can be set to; exploration learns from rows whose features lists need.
const ALL: &str = "[cohorts]\nenabled = true\nsize = 100\nfloor = 20\n\n[abuse]\nenabled = true\n\n\
    [diversity]\nplaces = 20\noverlap_above = 0.1\n\n\
    [[experiment]]\nname = \"bench\"\nshare = 0.5\nsince = 2020-01-01T00:00:00Z\n\n\
    [[experiment.arm]]\nname = \"control\"\n\n[[experiment.arm]]\nname = \"calm\"\nset = { rerank.novelty_share = 0.3 }\n\n";
const EXPLORES: &str = "[exploration]\npolicy = \"linucb\"\nslots = 2\n\n";
/// As `configs/demo.toml` has them, and a meter that is read soon.
const DEMO_CLOCK: &str = "[clock]\nepoch_ms = 10\ntick_ms = 10\n\n[score]\npublish_every = \"10m\"\n\n\
    [checkpoint]\nevery = \"0s\"\n\n[log]\nfilter = \"warn\"\n\n";
const DEMO_LISTS: &str = "[feed]\nrefresh_after = \"10m\"\nactive_within = \"1h\"\npools_every = \"1h\"\n\n";
const NO_LISTS: &str = "[feed]\nenabled = false\n\n";
/// Sizes are metered each 64 epochs.
const SETTLED: f64 = 128.0;

/// States that are kept by user.
const BY_USER: [&str; 4] = ["users", "listed", "cohort_calls", "bursts"];

/// A replay.
struct Replayed {
    lists: f64,
    cpu: f64,
    /// Of state that is kept by user, and of all other.
    bytes: [f64; 2],
}

fn replayed(bench: &Bench, size: Size, settings: &str) -> anyhow::Result<Replayed> {
    let scratch = bench.worlds.scratch()?;
    let config = scratch.path().join("growth.toml");
    fs::write(&config, format!("{DEMO_CLOCK}{settings}"))?;
    let log = scratch.path().join("log");
    link(&bench.worlds.log(size)?, &log)?;
    let service = Service::start(&bench.worlds, &config, &log, &scratch.path().join("store"))?;
    let cpu = service.cpu()?;
    let caught_up = service.metrics()?;
    let lists = caught_up.get("freshet_lists_written_total");
    let committed = "freshet_epochs_committed_total";
    let replayed = caught_up.get(committed);
    let settled = service.wait_for(|metrics| metrics.get(committed) > replayed + SETTLED)?;
    let mut bytes = [0.0; 2];
    for (state, of) in settled.by_label("freshet_state_bytes") {
        bytes[usize::from(!BY_USER.contains(&state.as_str()))] += of;
    }
    Ok(Replayed { lists, cpu, bytes })
}

/// Measures all with each other.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    // Half of its events are a replay of some minutes.
    let size = Size { events: bench.scaled(DEMO.events / 2), ..DEMO };
    let without = replayed(bench, size, DEMO_LISTS)?;
    let with = replayed(bench, size, &format!("{DEMO_LISTS}{EXPLORES}{ALL}"))?;
    let bare = replayed(bench, size, NO_LISTS)?;
    let rate = |of: &Replayed| of.lists / (of.cpu - bare.cpu);
    let each = |of: f64, n: u64| of / n as f64;
    let grown = |n: usize, of: u64| {
        let (before, after) = (each(without.bytes[n], of), each(with.bytes[n], of));
        (after - before, format!("{before:.0} B without, {after:.0} B with"))
    };
    let (user, user_note) = grown(0, size.users);
    let (video, video_note) = grown(1, size.videos);

    report.add([
        Figure::new(
            GROUP,
            "lists a CPU-second, with all against without",
            rate(&with) / rate(&without),
            "ratio",
            Target::AtLeast(0.8),
        )
        .note(format!(
            "{size}; without {:.0} lists in {:.1} CPU-s, with {:.0} in {:.1}; of each the {:.1} of no list are taken off",
            without.lists, without.cpu, with.lists, with.cpu, bare.cpu
        )),
        Figure::new(GROUP, "state by user that they add, a user", user, "B", Target::None).note(user_note),
        Figure::new(GROUP, "all other state that they add, a video", video, "B", Target::None)
            .note(video_note),
    ])?;

    let large = world(bench, 1_000_000);
    let features = |settings: &str| replay(bench, large, 1, &format!("{LONG_EPOCHS}{settings}"));
    let (plain, all) = (features(NONE)?, features(ALL)?);
    report.add([Figure::new(
        GROUP,
        "CPU of the features, with all but exploration against without",
        all.cpu / plain.cpu,
        "ratio",
        Target::AtMost(1.25),
    )
    .note(format!("{large}; {:.1} and {:.1} CPU-s", all.cpu, plain.cpu))])?;
    Ok(())
}
