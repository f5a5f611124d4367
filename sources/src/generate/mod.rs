//! A synthetic world: users with tastes that drift, creators, videos, sessions, and the accidents of a real event log.
//!
//! It exists because no public set has everything at once (sounds, hashtags, skips, dislikes, positions, late and
//! duplicate events, deletions), and because only here the truth is known: with [`World::truth`] the users' tastes are
//! written beside the log, so that lists can be measured against what their users would have liked.
//!
//! Rates follow the public aggregates of KuaiRand-27K (`rates` names each figure with its source): 322,278,385 impressions
//! of 27,285 users; sessions 4.84 a user and day; events a user with a median of 8,594 and 90 % below 24,587; the most
//! exposed 1 % of the videos with 44 % of the exposures; 38 % of the impressions clicked; a median play of 2.9 s of
//! 25.9 s; exposures by hour of the day.
//!
//! The same arguments give the same bytes on every machine: whole numbers only, one seeded generator, one thread (`rng`).
//! Memory grows with users and videos, not with events (`simulate`).

mod attack;
mod campaign;
mod known;
mod people;
mod rates;
mod report;
mod rng;
mod simulate;
mod taste;
mod videos;
mod watch;
mod words;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use freshet_schema::{Event, EventKind, Millis};
use serde::Serialize;
use thiserror::Error;

pub use attack::{Attack, AttackKind, AttackTruth, Size};
pub use known::{Known, Taste, known};
pub use report::{Behaviour, Report};

use self::campaign::Campaigns;
use self::rng::Rng;
use self::simulate::Simulation;
use self::taste::Tastes;
use self::videos::{FIRST_VIDEO, Video, Videos};
use crate::log::{Format, LogError, LogWriter};

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Number of users, at least 1.
    pub users: u64,
    /// Number of videos, at least 1.
    pub videos: u64,
    /// Number of interactions. Duplicates and revisions (together about 0.6 %) come on top.
    pub events: u64,
    /// Another seed is another world.
    pub seed: u64,
    /// When the log begins.
    pub start: Millis,
    /// How many days it covers. Where more is asked of users than fits into their days, the log goes on for longer.
    pub days: u64,
    /// Whether to write the users' tastes and the videos' qualities to `DIR/truth`.
    pub truth: bool,
    /// The format of the log.
    pub format: Format,
    /// Attacks, whose accounts, videos and interactions come on top.
    pub attacks: Vec<Attack>,
    /// The day, counted from 0, with which everybody has other favourites at once, beside the drift that there always is.
    pub turn: Option<u64>,
}

impl World {
    /// 2022-04-08 in China, the first day of the KuaiRand logs: a generated world and the bundled sample then lie side by
    /// side in time.
    pub const START: Millis = Millis(1_649_347_200_000);
    /// As long as the bundled sample.
    pub const DAYS: u64 = 14;

    /// A world with the default time span, as plain JSON lines, without truth.
    #[must_use]
    pub fn new(users: u64, videos: u64, events: u64, seed: u64) -> Self {
        let (start, days) = (Self::START, Self::DAYS);
        Self {
            users,
            videos,
            events,
            seed,
            start,
            days,
            truth: false,
            format: Format::default(),
            attacks: Vec::new(),
            turn: None,
        }
    }

    /// How long the log is meant to be, in milliseconds.
    fn span(&self) -> u64 {
        self.days * rates::DAY
    }

    /// When it is meant to end.
    fn end(&self) -> u64 {
        self.start.0 + self.span()
    }
}

/// Why no world was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// An argument is out of range.
    #[error("{name} is {value}; it must be from {least} to {most}")]
    Argument {
        /// Which.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The smallest that can be.
        least: u64,
        /// The largest that can be.
        most: u64,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The truth cannot be written.
    #[error("{path}: cannot be written: {source}; free space there, or choose another --out", path = path.display())]
    Truth {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes the world's log to `out`, which must not hold one yet. `progress` is told from time to time how many
/// interactions of how many are done.
///
/// # Errors
/// Where an argument is out of range or something cannot be written.
pub fn generate(
    world: &World,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, GenerateError> {
    check(world)?;
    let mut writer = LogWriter::create(out, world.format)?;
    let played = play(world, &mut |event| writer.write(event), progress)?;
    let summary = writer.finish()?;
    if world.truth {
        write_truth(world, world.end(), &played, &out.join("truth"))?;
    }
    let written = EventKind::ALL.map(|kind| (kind.folder(), summary.records(kind))).into_iter();
    let written = written.filter(|(_, count)| *count > 0).collect();
    Ok(Report { written, behaviour: played.behaviour, attacks: played.attacks })
}

/// A world that was made.
struct Played {
    videos: Videos,
    /// Videos of attackers; their numbers go on from the world's.
    promoted: Vec<Video>,
    tastes: Tastes,
    behaviour: Behaviour,
    attacks: Vec<AttackTruth>,
}

/// Makes the world and hands its events to `sink`, the uploads first and then everything in the order in which it arrives.
fn play<E>(
    world: &World,
    sink: &mut simulate::Sink<'_, E>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Played, E> {
    let mut rng = Rng::new(freshet_schema::hash::mix(world.seed, &[world.users, world.videos, world.events]));
    let videos = Videos::new(world, world.end(), &mut rng);
    let turn = world.turn.map(|day| world.start.0.saturating_add(day.saturating_mul(rates::DAY)));
    let tastes = Tastes::new(world.seed, world.start.0, turn, videos.categories.clone());
    let people = people::people(world, world.span(), &mut rng);
    let Campaigns { uploads, events, videos: promoted, truth } = Campaigns::new(world, world.end(), &videos);
    let mut uploads = uploads.into_iter().peekable();
    for (event_id, (time, number, status)) in (1..).zip(videos.uploads(world.start.0)) {
        while let Some(upload) = uploads.next_if(|upload| upload.event_time.0 < time) {
            sink(&Event::Upload(upload))?;
        }
        sink(&Event::Upload(videos.upload(time, number, status, event_id)))?;
    }
    uploads.try_for_each(|upload| sink(&Event::Upload(upload)))?;
    // What attackers do comes in between by its time: not a byte of what the others do differs.
    let mut events = events.into_iter().peekable();
    let mut merged = |event: &Event| {
        while let Some(earlier) = events.next_if(|earlier| earlier.event_time() < event.event_time()) {
            sink(&earlier)?;
        }
        sink(event)
    };
    let mut simulation = Simulation::new(world, world.span(), &videos, &tastes, people, rng);
    simulation.run(&mut merged, progress)?;
    let behaviour = simulation.behaviour;
    events.try_for_each(|event| sink(&event))?;
    Ok(Played { videos, promoted, tastes, behaviour, attacks: truth })
}

fn check(world: &World) -> Result<(), GenerateError> {
    let within = |name, value, least, most| {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(GenerateError::Argument { name, value, least, most })
        }
    };
    within("users", world.users, 1, 100_000_000)?;
    within("videos", world.videos, 1, 100_000_000)?;
    // Nobody has more than 2^32 events, not even one who is alone.
    within("events", world.events, 0, u64::from(u32::MAX))?;
    within("days", world.days, 1, 3650)?;
    for attack in &world.attacks {
        within("accounts of an attack", attack.accounts(world.users), 1, 1_000_000)?;
    }
    // The catalogue begins a month before, and records are from 2000 on.
    within("start", world.start.0, 946_684_800_000 + rates::CATALOGUE_AGE, 4_102_444_800_000)
}

fn write_truth(world: &World, end: u64, played: &Played, dir: &Path) -> Result<(), GenerateError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        |source| GenerateError::Truth { path, source }
    };
    fs::create_dir_all(dir).map_err(fail(dir))?;
    let Played { videos, tastes, .. } = played;
    let users = (0..world.users).map(|user| tastes.truth(user, people::FIRST_USER + user, end, videos));
    let path = dir.join("users.jsonl");
    write_lines(&path, users).map_err(fail(&path))?;
    let path = dir.join("videos.jsonl");
    let all = videos.all.iter().chain(&played.promoted);
    let videos = all.zip(FIRST_VIDEO..).map(|(video, id)| {
        let category = words::CATEGORIES[usize::from(video.category)].name;
        VideoTruth { video_id: id, category, quality: video.quality }
    });
    write_lines(&path, videos).map_err(fail(&path))?;
    if played.attacks.is_empty() {
        return Ok(());
    }
    let path = dir.join("attacks.jsonl");
    write_lines(&path, played.attacks.iter()).map_err(fail(&path))
}

/// What is true of a video.
#[derive(Serialize)]
struct VideoTruth {
    video_id: u64,
    category: &'static str,
    quality: u16,
}

fn write_lines(path: &Path, lines: impl Iterator<Item = impl Serialize>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
