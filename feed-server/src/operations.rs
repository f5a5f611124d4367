//! For those who run the server: health, readiness, metrics, the description of the API; and the page at `/`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::state::{Readiness, ServerState};

/// The description of the API.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");
const PAGE: &str = include_str!("page.html");

/// Alive: the process answers.
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready: lists can be served.
pub(crate) async fn readyz(State(state): State<ServerState>) -> Result<Json<Value>, Problem> {
    match (state.ready)() {
        Readiness::Ready => {
            let epoch = state.store.marker()?.map(|epoch| epoch.0);
            Ok(Json(json!({ "status": "ready", "epoch": epoch })))
        }
        Readiness::NotReady(why) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The service is not ready", why))
        }
    }
}

pub(crate) async fn metrics(State(state): State<ServerState>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], (state.metrics_text)()).into_response()
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

/// The page brings everything with it; the policy makes the browser hold it to that.
pub(crate) async fn page() -> Response {
    const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; \
                          script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, PAGE).into_response()
}
