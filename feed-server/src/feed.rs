//! `GET /v1/feed/{user}`: a page of the user's list.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use freshet_schema::event::ServedItem;
use freshet_schema::feed::{DroppedRecord, FeedItem, FeedRecord, Source, Stage, TrendingRecord, VideoCard};
use freshet_schema::ids::decimal;
use freshet_schema::store::{EVERYONE, Key};
use freshet_schema::{Epoch, Event, EventId, Millis, Served, UserId, VideoId};
use freshet_sinks::{Bytes, FeedStore, StoreError};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::account;
use crate::cursor::Cursor;
use crate::negotiate::{Parameters, Path, WantsProtobuf, id, limit};
use crate::problem::Problem;
use crate::scroll::{Entry, Page, Tail, next_page};
use crate::state::ServerState;
use crate::telemetry::{ItemsServed, ServedPageLost};
use crate::view::{Card, Cards, Parts, is_hidden, read, rfc3339, source_names};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const NEXT_CURSOR: HeaderName = HeaderName::from_static("next-cursor");
const LIST_EPOCH: HeaderName = HeaderName::from_static("freshet-epoch");
const LIST_KIND: HeaderName = HeaderName::from_static("freshet-list");
const REQUEST_ID: HeaderName = HeaderName::from_static("freshet-request-id");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedQuery {
    limit: Option<String>,
    cursor: Option<String>,
    group: Option<String>,
}

/// Which list was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ListKind {
    /// The user's.
    Own,
    /// A new-user list.
    NewUser,
    /// None is stored.
    None,
}

impl ListKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::NewUser => "new_user",
            Self::None => "none",
        }
    }
}

/// Finds the list to read: the user's own, else the new-user list of the group that the caller knows, else everybody's.
pub(crate) fn find(
    store: &dyn FeedStore,
    user: UserId,
    group: Option<&str>,
) -> Result<(ListKind, Option<(Key, Bytes)>), StoreError> {
    let own = Key::Feed(user);
    if let Some(bytes) = store.get(&own)? {
        return Ok((ListKind::Own, Some((own, bytes))));
    }
    for group in group.into_iter().chain([EVERYONE]) {
        let key = Key::NewUser(group.to_owned());
        if let Some(bytes) = store.get(&key)? {
            return Ok((ListKind::NewUser, Some((key, bytes))));
        }
    }
    Ok((ListKind::None, None))
}

/// Decodes what [`find`] found; an empty list for the user where it found nothing.
pub(crate) fn decode(found: Option<(Key, Bytes)>, user: UserId) -> Result<FeedRecord, StoreError> {
    match found {
        None => Ok(FeedRecord { user_id: user.0, group: EVERYONE.to_owned(), ..FeedRecord::default() }),
        Some((key, bytes)) => {
            FeedRecord::decode(bytes).map_err(|source| StoreError::Value { key: key.to_string(), source })
        }
    }
}

/// Trending, and which of it the user has watched: what was dropped from the list for that says it of the videos watched last,
/// and of all that its sources brought.
fn tail(store: &dyn FeedStore, user: UserId) -> Result<Tail, StoreError> {
    let trending = read::<TrendingRecord>(store, &Key::Trending(EVERYONE.to_owned()))?.unwrap_or_default();
    let dropped = read::<DroppedRecord>(store, &Key::Dropped(user))?.unwrap_or_default();
    let watched = dropped.items.iter().filter(|item| item.stage() == Stage::Watched);
    Ok(Tail { trending: trending.items, watched: watched.map(|item| VideoId(item.video_id)).collect() })
}

#[derive(Serialize)]
struct FeedAnswer {
    #[serde(with = "decimal")]
    user_id: u64,
    list: ListKind,
    epoch: u64,
    now_ms: u64,
    as_of: String,
    algorithm: String,
    group: String,
    interest_drift: bool,
    obsession_loop: bool,
    arms: Vec<String>,
    items: Vec<ItemView>,
    next_cursor: Option<String>,
    #[serde(with = "decimal")]
    request_id: u64,
}

#[derive(Serialize)]
struct ItemView {
    #[serde(with = "decimal")]
    video_id: u64,
    position: u64,
    score: f32,
    sources: Vec<&'static str>,
    parts: Option<Parts>,
    moved_by: Option<String>,
    policy: &'static str,
    card: Option<Card>,
}

pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    method: Method,
    WantsProtobuf(protobuf): WantsProtobuf,
    Path(user): Path<String>,
    Parameters(query): Parameters<FeedQuery>,
) -> Result<Response, Problem> {
    let user: UserId = id("user", &user)?;
    let options = &state.options;
    let limit = limit(query.limit.as_deref(), options.page_limit_default, options.page_limit_max)?;
    let cursor = match query.cursor.as_deref() {
        None | Some("") => Cursor::default(),
        Some(text) => Cursor::decode(text, user).map_err(|error| {
            Problem::bad_parameter(format!("cursor cannot be used: {error}; begin again without a cursor"))
        })?,
    };
    let (kind, found) = find(&*state.store, user, query.group.as_deref())?;
    // Who asks for the whole stored list decides alone what is shown, and reports that in the events: it is no page.
    if protobuf && query.limit.is_none() && query.cursor.is_none() {
        let bytes = match found {
            Some((_, bytes)) => bytes,
            None => decode(None, user)?.encode_to_vec().into(),
        };
        return Ok((
            [(header::CONTENT_TYPE, PROTOBUF), (LIST_KIND, HeaderValue::from_static(kind.as_str()))],
            bytes,
        )
            .into_response());
    }

    let record = decode(found, user)?;
    let store = &*state.store;
    let mut cards = Cards::new(store, &record.items, limit);
    let page = next_page(
        &cursor,
        &record.items,
        || tail(store, user),
        |video| {
            let card = cards.card(video)?;
            Ok(if card.as_ref().is_none_or(is_hidden) { None } else { Some(card) })
        },
        limit,
        options.cursor_memory,
    )?;
    let request_id = state.ids.next();
    // HEAD asks where the list stands; nothing is handed out.
    if method != Method::HEAD {
        log_served(&state, user, kind, &record, request_id, &page);
    }
    let list_headers = [
        (LIST_EPOCH, HeaderValue::from(record.epoch)),
        (LIST_KIND, HeaderValue::from_static(kind.as_str())),
        (REQUEST_ID, HeaderValue::from(request_id)),
    ];
    let next_cursor = page.next.as_ref().map(|next| next.encode(user));
    Ok(if protobuf {
        let items = page.items.into_iter().map(|(entry, _)| to_feed_item(entry)).collect();
        let body = FeedRecord { items, ..record }.encode_to_vec();
        let mut response = (list_headers, [(header::CONTENT_TYPE, PROTOBUF)], body).into_response();
        if let Some(value) = next_cursor.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(NEXT_CURSOR, value);
        }
        response
    } else {
        (list_headers, Json(answer(user, kind, record, page, next_cursor, request_id))).into_response()
    })
}

fn answer(
    user: UserId,
    kind: ListKind,
    record: FeedRecord,
    page: Page<Option<VideoCard>>,
    next_cursor: Option<String>,
    request_id: u64,
) -> FeedAnswer {
    let items = (page.first_position..).zip(page.items).map(|(position, (entry, card))| {
        let policy = policy(kind, &entry);
        let item = to_feed_item(entry);
        ItemView {
            video_id: item.video_id,
            position,
            score: item.score,
            sources: source_names(&item),
            parts: item.parts.map(Parts::from),
            moved_by: Some(item.moved_by).filter(|rule| !rule.is_empty()),
            policy,
            card: card.map(Card::from),
        }
    });
    FeedAnswer {
        user_id: user.0,
        list: kind,
        epoch: record.epoch,
        now_ms: record.now_ms,
        as_of: rfc3339(Millis(record.now_ms)),
        algorithm: record.algorithm,
        group: record.group,
        interest_drift: record.interest_drift,
        obsession_loop: record.obsession_loop,
        arms: record.arms,
        items: items.collect(),
        next_cursor,
        request_id,
    }
}

/// An item of a page in the form of a list's item.
fn to_feed_item(entry: Entry) -> FeedItem {
    match entry {
        Entry::Listed(item) => item,
        Entry::Trending(item) => FeedItem {
            video_id: item.video_id,
            score: item.score,
            sources: vec![Source::Trending.into()],
            ..FeedItem::default()
        },
    }
}

/// The policy that filled a slot, as the served log names it.
fn policy(kind: ListKind, entry: &Entry) -> &'static str {
    match entry {
        Entry::Trending(_) => Source::Trending.name(),
        Entry::Listed(item) => account::policy(item, kind == ListKind::Own),
    }
}

/// The chance with which the slot went to this video; 1 where a rule without chance decided.
fn propensity(entry: &Entry) -> f32 {
    match entry {
        Entry::Listed(item) => account::propensity(item),
        Entry::Trending(_) => 1.0,
    }
}

/// Which of the best candidates a slot that was drawn evenly went to, from the best, 1; 0 for other slots.
fn drawn(entry: &Entry) -> u32 {
    match entry {
        Entry::Listed(item) => item.drawn,
        Entry::Trending(_) => 0,
    }
}

/// Appends the page to the served log without waiting.
fn log_served(
    state: &ServerState,
    user: UserId,
    kind: ListKind,
    record: &FeedRecord,
    request_id: u64,
    page: &Page<Option<VideoCard>>,
) {
    if page.items.is_empty() {
        return;
    }
    let mut items = Vec::with_capacity(page.items.len());
    for (position, (entry, _)) in (page.first_position..).zip(&page.items) {
        items.push(ServedItem {
            video_id: entry.video(),
            position: u32::try_from(position).unwrap_or(u32::MAX),
            propensity: propensity(entry),
            slot_policy: policy(kind, entry).to_owned(),
            drawn: drawn(entry),
        });
    }
    for slots in page.items.chunk_by(|(a, _), (b, _)| policy(kind, a) == policy(kind, b)) {
        ItemsServed { policy: policy(kind, &slots[0].0), count: slots.len() as u64 }.emit();
    }
    let Some(events) = &state.events else { return };
    let served = Served {
        event_id: EventId(request_id),
        revision: 0,
        event_time: state.clock.now(),
        request_id,
        user_id: user,
        list_epoch: if kind == ListKind::Own { Epoch(record.epoch) } else { Epoch(0) },
        items,
        arms: record.arms.clone(),
    };
    if let Err(cause) = events.offer(&[Event::Served(served)]) {
        ServedPageLost { cause: &cause }.emit();
    }
}
