//! One record as JSON, both ways.
//!
//! The happy path goes from bytes straight into the typed record. Only a record that failed is looked at a second time,
//! to find out which field was to blame.

use freshet_schema::dead_letter::Reason;
use freshet_schema::{Event, EventKind};
use serde::de::DeserializeOwned;

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The label.
    pub reason: Reason,
    /// In words; names the field where it is known.
    pub detail: String,
}

/// Decodes one JSON object into an event of `kind`. Fields that the kind does not have are ignored.
///
/// # Errors
/// Why the bytes are no such event.
pub fn decode_json(kind: EventKind, bytes: &[u8]) -> Result<Event, Fault> {
    Ok(match kind {
        EventKind::Users => Event::User(decode(bytes)?),
        EventKind::Uploads => Event::Upload(decode(bytes)?),
        EventKind::Follows => Event::Follow(decode(bytes)?),
        EventKind::Interactions => Event::Interaction(decode(bytes)?),
        EventKind::Deletes => Event::Delete(decode(bytes)?),
        EventKind::Served => Event::Served(decode(bytes)?),
    })
}

/// Appends the event as one JSON line.
///
/// # Errors
/// Where the event holds a value without a JSON form.
pub fn encode_line(event: &Event, line: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *line, event)?;
    line.push(b'\n');
    Ok(())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // Checked as a whole: serde would let bad bytes pass in fields that it ignores.
    let text = std::str::from_utf8(bytes).map_err(|e| Fault {
        reason: Reason::NotUtf8,
        detail: format!("not UTF-8 from byte {} of the record on", e.valid_up_to()),
    })?;
    // Serde would read an array as the fields in order.
    let first = text.trim_ascii_start().as_bytes().first();
    if first != Some(&b'{') {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        return Err(Fault {
            reason: if json { Reason::WrongType } else { Reason::NotJson },
            detail: "a record is a JSON object, `{...}`".to_owned(),
        });
    }
    serde_json::from_str(text).map_err(|_| explain::<T>(text))
}

#[cold]
fn explain<T: DeserializeOwned>(text: &str) -> Fault {
    let error = match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(text))
    {
        Ok(_) => {
            return Fault { reason: Reason::NotJson, detail: "more text after the record's end".to_owned() };
        }
        Err(error) => error,
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let message = inner.to_string();
    let reason = match inner.classify() {
        serde_json::error::Category::Data if message.starts_with("missing field") => Reason::MissingField,
        serde_json::error::Category::Data => Reason::WrongType,
        _ if message.starts_with("number out of range") => Reason::WrongType,
        _ => Reason::NotJson,
    };
    // "." is the record itself, "?" what serde buffered without a path.
    let detail = if path == "." || path == "?" { message } else { format!("{path}: {message}") };
    Fault { reason, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interaction(text: &[u8]) -> Result<Event, Fault> {
        decode_json(EventKind::Interactions, text)
    }

    #[track_caller]
    fn fails(text: &[u8], reason: Reason, detail: &str) {
        let fault = interaction(text).expect_err("the record is bad");
        assert_eq!(fault.reason, reason, "{fault:?}");
        assert!(fault.detail.contains(detail), "{fault:?} does not name {detail}");
    }

    #[test]
    fn unknown_fields_are_ignored_and_decimal_strings_read() {
        let event = interaction(
            br#" {"event_id":"18446744073709551615","event_time":1,"user_id":2,"video_id":3,"new":[{}]}"#,
        );
        assert_eq!(event.unwrap().event_id().0, u64::MAX);
    }

    #[test]
    fn each_fault_has_its_reason_and_names_the_field() {
        let ids = r#""event_id":1,"event_time":1,"user_id":2"#;
        fails(format!("{{{ids}}}").as_bytes(), Reason::MissingField, "video_id");
        for value in ["-1", "1.5", "18446744073709551616", "1e999", "\"x\"", "true", "null", "[1]"] {
            let line = format!(r#"{{{ids},"video_id":{value}}}"#);
            fails(line.as_bytes(), Reason::WrongType, "video_id");
        }
        fails(format!(r#"{{{ids},"video_id":3,"like":1}}"#).as_bytes(), Reason::WrongType, "like");
        fails(format!(r#"{{{ids},"video_id":3,"watch_ms":-3}}"#).as_bytes(), Reason::WrongType, "watch_ms");
        fails(format!(r#"{{{ids},"video_id":3"#).as_bytes(), Reason::NotJson, "EOF");
        fails(format!(r#"{{{ids},"video_id":3}} {{}}"#).as_bytes(), Reason::NotJson, "after the record");
        fails(b"{\"event_id\":1,\"device\":\"\xff\"}", Reason::NotUtf8, "byte 24");
        fails(b"{\"ignored\":\"\xff\"}", Reason::NotUtf8, "byte 12");
        fails(b"[1,0,1,2,3]", Reason::WrongType, "object");
        fails(b"event_id,user_id", Reason::NotJson, "object");
    }

    #[test]
    fn a_delete_names_its_target() {
        let delete = |text: &str| decode_json(EventKind::Deletes, text.as_bytes());
        assert!(delete(r#"{"event_id":1,"event_time":5,"target":"video","video_id":9}"#).is_ok());
        let fault = delete(r#"{"event_id":1,"event_time":5,"target":"video"}"#).unwrap_err();
        assert_eq!(
            (fault.reason, fault.detail.contains("video_id")),
            (Reason::MissingField, true),
            "{fault:?}"
        );
    }
}
