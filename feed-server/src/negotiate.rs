//! Reading a request's parameters and headers, with problems that name them.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The query string. Unknown and doubled parameters are errors, where the type denies them.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|rejection| Problem::bad_parameter(rejection.body_text()))
    }
}

/// The path's parameters.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| Problem::bad_parameter(rejection.body_text()))
    }
}

/// An identifier of the path.
pub(crate) fn id<T: From64>(name: &str, text: &str) -> Result<T, Problem> {
    // `parse` admits a sign, which no identifier has.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(T::from64).ok_or_else(|| {
        Problem::bad_parameter(format!(
            "{name} is {text:?}; it must be a decimal number from 0 to {}",
            u64::MAX
        ))
    })
}

/// Newtypes of identifiers.
pub(crate) trait From64 {
    fn from64(id: u64) -> Self;
}

impl From64 for freshet_schema::UserId {
    fn from64(id: u64) -> Self {
        Self(id)
    }
}

impl From64 for freshet_schema::VideoId {
    fn from64(id: u64) -> Self {
        Self(id)
    }
}

/// The `limit` parameter.
pub(crate) fn limit(text: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    bounded("limit", text, default, max)
}

/// A parameter that says how many items are wanted.
pub(crate) fn bounded(name: &str, text: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(default.min(max)) };
    text.parse().ok().filter(|count| (1..=max).contains(count)).ok_or_else(|| {
        Problem::bad_parameter(format!("{name} is {text:?}; it must be a number from 1 to {max}"))
    })
}

/// Whether the caller asks for Protobuf: the first media type of `Accept` that the server can answer decides.
pub(crate) struct WantsProtobuf(pub(crate) bool);

impl<S: Send + Sync> FromRequestParts<S> for WantsProtobuf {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(wants_protobuf(&parts.headers)))
    }
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let is = |media: &str, names: &[&str]| names.iter().any(|name| media.eq_ignore_ascii_case(name));
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.split(';').next().unwrap_or_default().trim())
        .find_map(|media| match media {
            media if is(media, &["application/x-protobuf", "application/protobuf"]) => Some(true),
            media if is(media, &["application/json", "application/*", "*/*"]) => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_known_media_type_decides() {
        let wants = |accept: &'static str| {
            wants_protobuf(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(wants("application/x-protobuf"));
        assert!(wants("text/html, Application/Protobuf;q=0.9, */*"));
        assert!(!wants("application/json, application/x-protobuf"));
        assert!(!wants("text/html"));
        assert!(!wants(""));
        assert!(!wants_protobuf(&HeaderMap::new()));
    }
}
