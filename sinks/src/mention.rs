//! Whether a record that could not be understood names somebody.
//!
//! A number alone says little: the letter about another user's record has a `watch_ms`, and its detail says `line 1 column 17`. So what
//! counts is a whole number in a field that holds such identifiers or, as the record may be refused because its fields have other names, in
//! one that no event has. Where the bytes are no JSON, the field is the word before the number, if there is one. When in doubt the letter is
//! taken to name them: what is blanked too much is the text of a broken record.

use serde_json::Value as Json;

/// Fields of events with text or numbers in them.
const KNOWN: [&str; 38] = [
    "action",
    "age_band",
    "arms",
    "caption",
    "category",
    "comment",
    "content_embedding",
    "country",
    "created_at",
    "creator_id",
    "device",
    "dislike",
    "drawn",
    "duration_ms",
    "embedding_space",
    "event_id",
    "event_time",
    "feed_position",
    "gender",
    "hashtags",
    "like",
    "list_epoch",
    "network",
    "os",
    "position",
    "preferences",
    "propensity",
    "request_id",
    "revision",
    "session_id",
    "share",
    "slot_policy",
    "sound_id",
    "status",
    "target_event_id",
    "user_id",
    "video_id",
    "watch_ms",
];

/// An identifier to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The identifier.
    pub number: u64,
    /// The fields of events that hold identifiers of its kind.
    pub fields: &'static [&'static str],
}

impl Mention {
    /// Whether a record's bytes name it.
    #[must_use]
    pub fn is_in(&self, record: &[u8]) -> bool {
        match serde_json::from_slice::<Json>(record) {
            Ok(json) => self.is_in_json("", &json),
            Err(_) => self.is_in_text(record),
        }
    }

    /// Whether what was said of a record (`FIELD: what is wrong with it`) names it.
    #[must_use]
    pub fn is_said(&self, detail: &str) -> bool {
        let Some((path, what)) = detail.split_once(':') else { return false };
        let field = path.rsplit('.').next().unwrap_or(path);
        // Behind it stands where, not what.
        let what = what.rfind(" at line ").map_or(what, |at| &what[..at]);
        self.fields.contains(&field) && self.places(what.as_bytes()).next().is_some()
    }

    fn is_other(&self, field: &str) -> bool {
        KNOWN.contains(&field) && !self.fields.contains(&field)
    }

    fn is_in_json(&self, field: &str, json: &Json) -> bool {
        match json {
            Json::Array(items) => items.iter().any(|item| self.is_in_json(field, item)),
            Json::Object(fields) => fields.iter().any(|(field, value)| self.is_in_json(field, value)),
            Json::Number(_) | Json::String(_) if self.is_other(field) => false,
            // Written otherwise than it should be, perhaps, such as `17.0` or `user 17`.
            Json::Number(number) => self.places(number.to_string().as_bytes()).any(|at| at == 0),
            Json::String(text) if self.fields.contains(&field) => {
                self.places(text.as_bytes()).next().is_some()
            }
            Json::String(text) => *text == self.number.to_string(),
            Json::Null | Json::Bool(_) => false,
        }
    }

    fn is_in_text(&self, text: &[u8]) -> bool {
        self.places(text).any(|at| {
            let between = |byte: &u8| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b':' | b'=' | b'[');
            let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let before = &text[..at];
            let end = before.iter().rposition(|byte| !between(byte)).map_or(0, |last| last + 1);
            let begin = before[..end].iter().rposition(|byte| !word(byte)).map_or(0, |last| last + 1);
            !std::str::from_utf8(&before[begin..end]).is_ok_and(|field| self.is_other(field))
        })
    }

    /// Where the number stands as a whole one.
    fn places<'a>(&self, text: &'a [u8]) -> impl Iterator<Item = usize> + use<'a> {
        let digits = self.number.to_string();
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        (0..text.len()).filter(move |at| {
            text[*at..].starts_with(digits.as_bytes())
                && !is_digit(at.checked_sub(1).and_then(|before| text.get(before)))
                && !is_digit(text.get(at + digits.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Mention = Mention { number: 17, fields: &["user_id"] };
    const EVENT: Mention = Mention { number: 17, fields: &["event_id", "target_event_id"] };

    #[test]
    fn a_number_counts_in_the_fields_that_hold_its_kind() {
        for record in [
            r#"{"user_id":17}"#,
            r#"{"user_id":"17","watch_ms":-1}"#,
            r#"{"user_id":17.0}"#,
            r#"{"user_id":"user 17"}"#,
            r#"{"userId":17}"#,
            r#"{"who":{"id":"17"}}"#,
            r#"{"event_id":1,"user_id":"17","#,
            r#"{"user_id" : 17"#,
            r#"{\"user_id\":\"17\""#,
            "17,3,2024-03-01",
            "user 17 saw it",
        ] {
            assert!(USER.is_in(record.as_bytes()), "{record}");
        }
        for record in [
            r#"{"event_id":17,"user_id":4,"watch_ms":17,"caption":"17"}"#,
            r#"{"event_id":17,"user_id":4,"caption":"my 17 cats"}"#,
            r#"{"event_id":17,"user_id":"4","items":[{"video_id":17,"position":17}"#,
            r#"{"event_id":"17","user_id":170,"content_embedding":[17"#,
            r#"{"user_id":4,"seen":"17 times"}"#,
        ] {
            assert!(!USER.is_in(record.as_bytes()), "{record}");
        }
        assert!(EVENT.is_in(br#"{"event_id":17,"user_id":4}"#));
        assert!(EVENT.is_in(br#"{"target_event_id":"17","#));
        assert!(!EVENT.is_in(br#"{"event_id":4,"user_id":17}"#));
    }

    #[test]
    fn where_a_record_broke_names_nobody() {
        for detail in [
            "expected value at line 1 column 17",
            "event_time: invalid type: null, expected a number at line 17 column 1",
            "user_id: invalid type: null, expected a number at line 1 column 17",
            "not UTF-8 from byte 17 of the record on",
            "watch_ms: 17 ms; at most 9 are allowed",
        ] {
            assert!(!USER.is_said(detail), "{detail}");
        }
        assert!(USER.is_said("user_id: invalid value: integer `17`, expected another at line 1 column 3"));
        let video = Mention { number: 17, fields: &["video_id"] };
        assert!(video.is_said("items[3].video_id: 17 is no video"));
    }
}
