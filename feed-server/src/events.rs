//! `POST /v1/events`: one event, an array of them, or NDJSON.
//!
//! A request is taken whole or not at all: all its events are checked before the first is written. The answer comes after
//! an fsync or, with Kafka, the brokers' acknowledgement, so "202" means that the pipeline will see them, whatever happens to
//! the machine. A caller that got no answer sends the same `event_id`s again; the pipeline counts them once.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use freshet_schema::{Event, EventKind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::off_thread::off_thread;
use crate::problem::Problem;
use crate::state::ServerState;
use crate::telemetry::EventsPosted;

/// Bytes of a body that is read on the thread that answers all requests: about a hundred microseconds' work.
const SHORT: usize = 16 << 10;
/// Errors listed in one answer.
const MAX_ERRORS: usize = 20;
/// Characters of any text of an event.
const MAX_TEXT: usize = 4096;
/// Longest content vector.
const MAX_EMBEDDING: usize = 4096;

pub(crate) async fn post(
    State(state): State<Arc<ServerState>>,
    request: Request,
) -> Result<Response, Problem> {
    authorize(&state, request.headers())?;
    let log = state.events.clone().ok_or_else(|| {
        Problem::new(
            StatusCode::FORBIDDEN,
            "read-only",
            "The server takes no events",
            "this feed server only reads: post to the pipeline's, or let the pipeline read from Kafka",
        )
    })?;
    let lines = is_ndjson(request.headers())?;
    let max = state.options.max_body_bytes;
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            format!("a body may have {max} bytes; send the events in several requests"),
        ),
        _ => malformed(format!("the body could not be read: {}", rejection.body_text())),
    })?;
    let events = match body.len() {
        ..=SHORT => read_body(&state, lines, &body)?,
        _ => off_thread(move || read_body(&state, lines, &body)).await??,
    };
    let ids: Vec<String> = events.iter().map(|event| event.event_id().to_string()).collect();
    let receipt = log.append(&events).map_err(unavailable)?;
    receipt.await.map_err(unavailable)?;
    for kind in EventKind::ALL {
        let count = events.iter().filter(|event| event.kind() == kind).count() as u64;
        if count > 0 {
            EventsPosted { kind: kind.folder(), count }.emit();
        }
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": ids.len(), "event_ids": ids }))).into_response())
}

/// Compares the token without stopping at the first difference, so that timing tells nothing about it.
fn authorize(state: &ServerState, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &state.options.bearer_token else { return Ok(()) };
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let given = match given.split_at_checked("Bearer ".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"Bearer ") => rest,
        _ => b"",
    };
    let differs = given
        .iter()
        .zip(token.as_bytes())
        .fold(given.len() ^ token.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    if differs == 0 && !token.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "A token is required",
        "send the configured token as `Authorization: Bearer TOKEN`",
    ))
}

/// Whether the body is NDJSON (`true`) or JSON (`false`).
fn is_ndjson(headers: &HeaderMap) -> Result<bool, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(false),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(true),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body's media type is not supported",
            format!(
                "content-type is {given:?}; send `application/json` (one event or an array) or `application/x-ndjson`"
            ),
        )),
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-body", "The body is not well formed", detail)
}

fn read_body(state: &ServerState, lines: bool, body: &[u8]) -> Result<Vec<Event>, Problem> {
    read_all(state, if lines { parse_lines(body)? } else { parse_json(body)? })
}

fn parse_json(body: &[u8]) -> Result<Vec<Value>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(values)) => Ok(values),
        Ok(value) => Ok(vec![value]),
        Err(error) => Err(malformed(format!("not JSON: {error}"))),
    }
}

fn parse_lines(body: &[u8]) -> Result<Vec<Value>, Problem> {
    let lines = body.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    lines
        .map(|(line, number)| {
            serde_json::from_slice(line)
                .map_err(|error| malformed(format!("line {number} is not JSON: {error}")))
        })
        .collect()
}

fn read_all(state: &ServerState, values: Vec<Value>) -> Result<Vec<Event>, Problem> {
    let max = state.options.max_events;
    if values.is_empty() || values.len() > max {
        return Err(unprocessable(format!("{} events; a request must have 1 to {max}", values.len())));
    }
    let mut events = Vec::with_capacity(values.len());
    let mut errors = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        match read(state, value) {
            Ok(event) => events.push(event),
            Err(detail) if errors.len() < MAX_ERRORS => {
                errors.push(json!({ "index": index, "detail": detail }))
            }
            Err(_) => break,
        }
    }
    match errors.first() {
        None => Ok(events),
        Some(first) => {
            let detail = format!(
                "event {}: {}; nothing of the request was taken",
                first["index"],
                first["detail"].as_str().unwrap_or_default()
            );
            Err(unprocessable(detail).with("errors", errors))
        }
    }
}

fn unprocessable(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-event", "An event cannot be taken", detail)
}

/// One event: its kind taken out, the identifier and the time filled in, then checked.
fn read(state: &ServerState, value: Value) -> Result<Event, String> {
    let Value::Object(mut fields) = value else { return Err("an event must be a JSON object".to_owned()) };
    let kind = match fields.remove("kind") {
        None => EventKind::Interactions,
        Some(Value::String(name)) => kind_of(&name)?,
        Some(other) => return Err(format!("kind is {other}; it must be a text, one of {}", kind_names())),
    };
    fill(&mut fields, "event_id", || state.ids.next());
    fill(&mut fields, "event_time", || state.clock.now().0);
    // The feed's answer carries it as text, as all identifiers; a client sends back what it got.
    if let Some(Value::String(text)) = fields.get("request_id") {
        let number: u64 =
            text.parse().map_err(|_| format!("request_id is {text:?}; it must be a decimal number"))?;
        fields.insert("request_id".to_owned(), number.into());
    }
    let fields = Value::Object(fields);
    let event = match kind {
        EventKind::Users => Event::User(typed(fields)?),
        EventKind::Uploads => Event::Upload(typed(fields)?),
        EventKind::Follows => Event::Follow(typed(fields)?),
        EventKind::Interactions => Event::Interaction(typed(fields)?),
        EventKind::Deletes => Event::Delete(typed(fields)?),
        EventKind::Served => {
            return Err("kind is \"served\", which only the feed server itself writes".to_owned());
        }
    };
    check(&event)?;
    (state.validate)(&event)?;
    Ok(event)
}

fn kind_of(name: &str) -> Result<EventKind, String> {
    EventKind::ALL
        .into_iter()
        .find(|kind| kind.folder() == name)
        .ok_or_else(|| format!("kind is {name:?}; it must be one of {}", kind_names()))
}

fn kind_names() -> String {
    EventKind::ALL
        .into_iter()
        .filter(|kind| *kind != EventKind::Served)
        .map(EventKind::folder)
        .collect::<Vec<_>>()
        .join(", ")
}

fn fill(fields: &mut Map<String, Value>, name: &str, value: impl FnOnce() -> u64) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value().into());
    }
}

fn typed<T: DeserializeOwned>(fields: Value) -> Result<T, String> {
    serde_json::from_value(fields).map_err(|error| error.to_string())
}

/// The server's own rules: bounds that keep any one event small. The rest is the pipeline's validation.
fn check(event: &Event) -> Result<(), String> {
    let text = |name: &str, value: &str| {
        let length = value.chars().count();
        if length > MAX_TEXT {
            Err(format!("{name} has {length} characters; at most {MAX_TEXT} are taken"))
        } else {
            Ok(())
        }
    };
    let texts: Vec<(&str, &str)> = match event {
        Event::Interaction(e) => {
            [("device", &e.device), ("os", &e.os), ("country", &e.country), ("network", &e.network)]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_deref()?)))
                .collect()
        }
        Event::Upload(e) => {
            if let Some(vector) = &e.content_embedding
                && (vector.is_empty()
                    || vector.len() > MAX_EMBEDDING
                    || vector.iter().any(|x| !x.is_finite()))
            {
                return Err(format!("content_embedding must have 1 to {MAX_EMBEDDING} finite numbers"));
            }
            let own = [("caption", Some(e.caption.as_str())), ("category", e.category.as_deref())];
            let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
            own.chain(e.hashtags.iter().map(|tag| ("hashtags", tag.as_str()))).collect()
        }
        Event::User(e) => [("country", &e.country), ("age_band", &e.age_band), ("gender", &e.gender)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .chain(e.preferences.iter().map(|tag| ("preferences", tag.as_str())))
            .collect(),
        Event::Follow(_) | Event::Delete(_) | Event::Served(_) => Vec::new(),
    };
    texts.into_iter().try_for_each(|(name, value)| text(name, value))
}

fn unavailable(error: freshet_sinks::event_log::EventLogError) -> Problem {
    if let freshet_sinks::event_log::EventLogError::NoTopic { .. } = error {
        return unprocessable(error.to_string());
    }
    tracing::warn!(%error, "posted events were not taken");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "log-unavailable",
        "The events could not be stored",
        if error.may_retry() {
            "the log takes no more just now; send the same events again in a second"
        } else {
            "the event log failed; the server's log says how"
        },
    )
}
