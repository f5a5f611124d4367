//! Errors as RFC 9457 problems.
//!
//! A handler returns a [`Problem`] and knows no path; the outermost layer adds `instance` and writes the body. So every
//! error looks alike, also those of the router (unknown route, wrong method).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    extra: Map<String, Value>,
}

impl Problem {
    /// A problem of a kind: `slug` names it for programs, `title` for people, `detail` says what happened here.
    pub fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, slug, title, detail: detail.into(), extra: Map::new() }
    }

    /// A parameter that cannot be used.
    pub fn bad_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "A parameter cannot be used", detail)
    }

    /// A failure of ours. The cause goes to the log, not to the caller.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed",
            "the store or the log failed; the server's log says how",
        )
    }

    /// Adds a member that programs can read.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer, with the request's path as `instance`.
    pub(crate) fn render(&self, instance: &str) -> Response {
        let mut body = json!({
            "type": format!("urn:freshet:problem:{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": instance,
        });
        if let Value::Object(members) = &mut body {
            members.extend(self.extra.clone());
        }
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<freshet_sinks::StoreError> for Problem {
    fn from(error: freshet_sinks::StoreError) -> Self {
        match error {
            freshet_sinks::StoreError::Unavailable { reason, .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store-away",
                "The store cannot be reached",
                format!("the key-value store that holds the lists does not answer ({reason}); try again"),
            ),
            error => Self::internal(&error),
        }
    }
}
