//! For those who run the server: health, readiness, metrics, the description of the API; and the page at `/`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use freshet_schema::store::Key;
use serde_json::{Value, json};

use crate::off_thread::off_thread;
use crate::problem::Problem;
use crate::state::{Readiness, ServerState};

/// The description of the API.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");
const PAGE: &str = include_str!("page.html");

/// Alive: the process answers.
pub(crate) async fn healthz(State(state): State<Arc<ServerState>>) -> Json<Value> {
    Json((state.alive)())
}

/// Ready: lists can be served.
pub(crate) async fn readyz(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
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

/// The text of all series takes milliseconds: too long for the thread that answers the others.
pub(crate) async fn metrics(State(state): State<Arc<ServerState>>) -> Result<Response, Problem> {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let text = off_thread(move || (state.metrics_text)()).await?;
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

/// Users with a list whom the page offers.
const EXAMPLES: usize = 4;

/// The page brings everything with it; the policy makes the browser hold it to that.
pub(crate) async fn page(State(state): State<Arc<ServerState>>) -> Result<Response, Problem> {
    const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; \
                          script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    let users: Vec<String> = state
        .store
        .sample("feed:", EXAMPLES)?
        .into_iter()
        .filter_map(|key| if let Key::Feed(user) = key { Some(user.to_string()) } else { None })
        .collect();
    let page = PAGE.replacen("data-examples=\"\"", &format!("data-examples=\"{}\"", users.join(",")), 1);
    Ok((headers, page).into_response())
}
