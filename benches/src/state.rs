//! Bytes of state a user, a video and a counted event, as the service meters them after the features' world.
//!
//! The meter has one series a named state. Rows lie in the users' state and are taken out of it: a counted event is a row,
//! its mark in the set of events seen and its place among the video's viewers. All that is kept by video (contents, cards' order in pools, window sums and the
//! hour buckets that wait to leave them) is the video's.

use std::fs;

use freshet_operators::row::Row;

use crate::Bench;
use crate::features::{WITHOUT_LISTS, world};
use crate::report::{Figure, Target};
use crate::service::Service;

const GROUP: &str = "state";

/// States that are kept by video.
const BY_VIDEO: [&str; 6] = ["videos", "shelf", "recent_sums", "video_sums", "popularity", "windows"];
/// The set of events seen: a hash and its control byte, at the table's mean load of two thirds.
const SEEN_MARK: f64 = 9.0 * 1.5;
/// A user's number among a video's viewers, in vectors that are three quarters full on average.
const VIEWER: f64 = 11.0;
/// Sizes are metered each 64 epochs; after twice as many, what is shown is from after the replay.
const SETTLED: f64 = 128.0;

/// Measures the state after 1M events.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let size = world(bench, 1_000_000);
    let scratch = bench.worlds.scratch()?;
    let config = scratch.path().join("bench.toml");
    // Short ticks: idle epochs come quickly, and with them the meter.
    fs::write(&config, format!("[clock]\nepoch_ms = 10\ntick_ms = 10\n\n{WITHOUT_LISTS}"))?;
    // A service that follows opens a file for posted events in its log: it gets a log of links of its own.
    let log = scratch.path().join("log");
    link(&bench.worlds.log(size)?, &log)?;
    let service = Service::start(&bench.worlds, &config, &log, &scratch.path().join("store"))?;
    let committed = "freshet_epochs_committed_total";
    let replayed = service.metrics()?.get(committed);
    let metrics = service.wait_for(|metrics| metrics.get(committed) > replayed + SETTLED)?;

    let bytes = metrics.by_label("freshet_state_bytes");
    let of = |name: &str| bytes.iter().find(|(state, _)| state == name).map_or(0.0, |(_, bytes)| *bytes);
    let rows = metrics.get("freshet_state_entries{state=\"users\"}");
    let row = size_of::<Row>() as f64 + SEEN_MARK + VIEWER;
    let users = of("users") - rows * row;
    let videos: f64 = BY_VIDEO.iter().map(|name| of(name)).sum();
    let all: f64 = bytes.iter().map(|(_, bytes)| bytes).sum();
    let mut shares: Vec<String> =
        bytes.iter().map(|(name, bytes)| format!("{name} {:.1}", bytes / 1e6)).collect();
    shares.sort();
    Ok(vec![
        Figure::new(GROUP, "bytes a user", users / size.users as f64, "B", Target::AtMost(8192.0)).note(
            format!("{:.1} rows a user, not counted here; a list adds 8 B an item", rows / size.users as f64),
        ),
        Figure::new(GROUP, "bytes a video", videos / size.videos as f64, "B", Target::AtMost(8192.0))
            .note(BY_VIDEO.join(" + ")),
        Figure::new(GROUP, "bytes a counted event", row, "B", Target::AtMost(96.0))
            .note(format!("a row of {} B, its mark and its viewer; {rows} rows", size_of::<Row>())),
        Figure::new(GROUP, "all state", all / 1e6, "MB", Target::None)
            .note(format!("MB: {}", shares.join(", "))),
    ])
}

/// A log whose parts are links to those of another.
pub fn link(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    for stream in fs::read_dir(from)? {
        let stream = stream?;
        let dir = to.join(stream.file_name());
        fs::create_dir_all(&dir)?;
        for part in fs::read_dir(stream.path())? {
            let part = part?;
            std::os::unix::fs::symlink(part.path(), dir.join(part.file_name()))?;
        }
    }
    Ok(())
}
