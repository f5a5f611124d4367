//! From gathered rows to records: identities, exact duplicates, validation, and the count of what came from where.

use std::path::Path;

use freshet_schema::event::{Event, Interaction};
use freshet_schema::hash;
use freshet_schema::signals::Provenance::{self, Absent, Derived, Observed};
use freshet_schema::{EventId, EventKind, Millis, SessionId, UserId, VideoId};

use super::catalogue::{Catalogue, UploadOrigin};
use super::error::ImportError;
use super::field::{self, Refusal};
use super::report::{FileReport, Report, Tally};
use super::sort::{self, Seen, Sorter};
use crate::log::{Format, LogWriter};
use crate::validate::{self, Limits};

/// Seed of the interactions' identifiers.
const INTERACTION: u64 = u64::from_be_bytes(*b"watching");

const INTERACTIONS: &[&str] = &[
    "user_id",
    "video_id",
    "event_time",
    "session_id",
    "watch_ms",
    "duration_ms",
    "like",
    "dislike",
    "share",
    "comment",
    "follow",
    "rewatch",
    "skip",
    "feed_position",
    "request_id",
    "device",
    "os",
    "country",
    "network",
];
const SIGNALS: &[&str] =
    &["watched", "completed", "skipped", "rewatched", "session", "session_length", "since_last"];
const UPLOADS: &[&str] = &[
    "video_id",
    "creator_id",
    "created_at",
    "duration_ms",
    "caption",
    "hashtags",
    "sound_id",
    "category",
    "content_embedding",
    "status",
];
const USERS: &[&str] = &["user_id", "event_time", "country", "age_band", "gender", "preferences"];

fn observed(is: bool) -> Provenance {
    if is { Observed } else { Absent }
}

fn derived(is: bool) -> Provenance {
    if is { Derived } else { Absent }
}

/// Writes the log and completes the report.
pub(super) fn emit(
    set: &'static str,
    sorter: Sorter,
    catalogue: &Catalogue,
    mut files: Vec<FileReport>,
    out: &Path,
    format: Format,
) -> Result<Report, ImportError> {
    let limits = Limits::default();
    let mut writer = LogWriter::create(out, format)?;
    let mut interactions = Tally::new("interactions", INTERACTIONS);
    let mut signals = Tally::new("signals", SIGNALS);
    let mut last: Option<(Seen, u64)> = None;
    sorter.finish(|seen| {
        let seen = seen.map_err(|source| ImportError::Spill { dir: out.display().to_string(), source })?;
        let (file, row) = seen.place();
        // The same user, video and millisecond with other values is another event; with the same values it is the same
        // row twice, which these sets have.
        let same = last.filter(|(l, _)| (l.time, l.user, l.video) == (seen.time, seen.user, seen.video));
        let occurrence = same.map_or(0, |(_, n)| n + 1);
        if same.is_some_and(|(l, _)| Seen { row: 0, ..l } == Seen { row: 0, ..seen }) {
            let detail =
                format!("user {}, video {} at {} stands there before", seen.user, seen.video, seen.time);
            field::count(&mut files[file].refused, row, Refusal::new("duplicate_row", detail));
            return Ok(());
        }
        let event = Event::Interaction(interaction(&seen, occurrence));
        match validate::validate(&event, &limits) {
            Err(rejection) => {
                field::count(
                    &mut files[file].refused,
                    row,
                    Refusal::new(rejection.reason.as_str(), rejection.detail),
                );
            }
            Ok(()) => {
                last = Some((seen, occurrence));
                let known_duration = if seen.duration_ms > 0 {
                    seen.duration_ms
                } else {
                    catalogue.known_duration(seen.video)
                };
                interactions.add(&provenance(&seen));
                let part = derived(seen.flags & sort::WATCHED != 0 && known_duration > 0);
                let session = if seen.session > 0 { Observed } else { Derived };
                signals.add(&[part, part, part, part, session, Derived, Derived]);
                writer.write(&event)?;
            }
        }
        Ok::<(), ImportError>(())
    })?;

    let mut refused = field::Refused::new();
    let mut refuse = |event: &Event, what: &str, id: u64| match validate::validate(event, &limits) {
        Ok(()) => true,
        Err(r) => {
            let detail = format!("{what} {id}: {}", r.detail);
            field::count(&mut refused, 0, Refusal::new(r.reason.as_str(), detail));
            false
        }
    };
    let mut uploads = Tally::new("uploads", UPLOADS);
    for (upload, origin) in catalogue.uploads() {
        let UploadOrigin { created_at, creator, hashtags, category } = origin;
        let row = [
            Observed,
            creator,
            created_at,
            observed(upload.duration_ms > 0),
            observed(!upload.caption.is_empty()),
            hashtags,
            observed(upload.sound_id.is_some()),
            category,
            Absent,
            Derived,
        ];
        let id = upload.video_id.0;
        let event = Event::Upload(upload);
        if refuse(&event, "video", id) {
            uploads.add(&row);
            writer.write(&event)?;
        }
    }
    let mut users = Tally::new("users", USERS);
    for user in catalogue.users() {
        let row = [
            Observed,
            Derived,
            Absent,
            observed(user.age_band.is_some()),
            observed(user.gender.is_some()),
            Absent,
        ];
        let id = user.user_id.0;
        let event = Event::User(user);
        if refuse(&event, "user", id) {
            users.add(&row);
            writer.write(&event)?;
        }
    }
    let summary = writer.finish()?;
    let written = EventKind::ALL.map(|kind| (kind.folder(), summary.records(kind))).into_iter();
    Ok(Report {
        set,
        files,
        written: written.filter(|(_, count)| *count > 0).collect(),
        refused,
        columns: [&interactions, &signals, &uploads, &users].into_iter().flat_map(Tally::reports).collect(),
    })
}

/// The record of a row. Its identity is made of what it says, so that a second import gives the same log.
fn interaction(seen: &Seen, occurrence: u64) -> Interaction {
    let is = |flag: u32| seen.flags & flag != 0;
    let code = |code: u16| (code > 0).then(|| code.to_string());
    Interaction {
        event_id: EventId(hash::mix(INTERACTION, &[seen.user, seen.video, seen.time, occurrence])),
        event_time: Millis(seen.time),
        user_id: UserId(seen.user),
        video_id: VideoId(seen.video),
        session_id: (seen.session > 0).then_some(SessionId(seen.session)),
        watch_ms: is(sort::WATCHED).then_some(u64::from(seen.watch_ms)),
        duration_ms: (seen.duration_ms > 0).then_some(u64::from(seen.duration_ms)),
        like: is(sort::LIKE),
        dislike: is(sort::DISLIKE),
        share: is(sort::SHARE),
        comment: is(sort::COMMENT),
        follow: is(sort::FOLLOW),
        device: code(seen.device),
        os: code(seen.os),
        country: code(seen.country),
        ..Interaction::default()
    }
}

fn provenance(seen: &Seen) -> [Provenance; 19] {
    let reaction = |flag: u32| observed(seen.flags & flag << sort::KNOWN != 0);
    [
        Observed,
        Observed,
        if seen.flags & sort::TIME_DERIVED != 0 { Derived } else { Observed },
        observed(seen.session > 0),
        observed(seen.flags & sort::WATCHED != 0),
        observed(seen.duration_ms > 0),
        reaction(sort::LIKE),
        reaction(sort::DISLIKE),
        reaction(sort::SHARE),
        if seen.flags & sort::COMMENT_DERIVED != 0 { Derived } else { reaction(sort::COMMENT) },
        reaction(sort::FOLLOW),
        Absent,
        Absent,
        Absent,
        Absent,
        observed(seen.device > 0),
        observed(seen.os > 0),
        observed(seen.country > 0),
        Absent,
    ]
}
