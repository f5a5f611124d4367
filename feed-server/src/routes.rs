//! The routes, and the layer around each of them.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};

use crate::problem::Problem;
use crate::state::ServerState;
use crate::telemetry::{RequestAnswered, RouteMeters};
use crate::{cohorts, events, experiments, feed, operations, related, trending, video, why};

/// Every route with its method, as `/openapi.json` documents them (a test compares the two).
pub const ROUTES: [(&str, &str); 13] = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/readyz"),
    ("GET", "/v1/cohorts/{video}"),
    ("POST", "/v1/events"),
    ("GET", "/v1/experiments"),
    ("GET", "/v1/feed/{user}"),
    ("GET", "/v1/related/{video}"),
    ("GET", "/v1/trending"),
    ("GET", "/v1/video/{id}"),
    ("GET", "/v1/why/{user}/{video}"),
];

/// The label of requests that match no route: the path itself would let anybody make any number of series.
const UNMATCHED: &str = "unmatched";

/// The server as a service. What it counts goes to the recorder that is installed by now.
pub fn router(state: ServerState) -> Router {
    let mut router = Router::new();
    for (_, path) in ROUTES {
        router = router.route(path, measured(path, handler(path, &state).fallback(wrong_method)));
    }
    router.fallback_service(measured(UNMATCHED, any(unknown_route))).with_state(Arc::new(state))
}

/// The handler of a route of [`ROUTES`].
fn handler(path: &'static str, state: &ServerState) -> MethodRouter<Arc<ServerState>> {
    match path {
        "/" => get(operations::page),
        "/healthz" => get(operations::healthz),
        "/metrics" => get(operations::metrics),
        "/openapi.json" => get(operations::openapi),
        "/readyz" => get(operations::readyz),
        "/v1/cohorts/{video}" => get(cohorts::get),
        "/v1/events" => post(events::post).layer(DefaultBodyLimit::max(state.options.max_body_bytes)),
        "/v1/experiments" => get(experiments::get),
        "/v1/feed/{user}" => get(feed::get),
        "/v1/related/{video}" => get(related::get),
        "/v1/trending" => get(trending::get),
        "/v1/video/{id}" => get(video::get),
        "/v1/why/{user}/{video}" => get(why::get),
        other => unreachable!("{other} stands in ROUTES without a handler"),
    }
}

async fn unknown_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-route",
        "There is no such route",
        "/openapi.json lists what can be asked",
    )
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The route has no such method",
        format!("{method} is not answered here; /openapi.json lists what can be asked"),
    )
}

/// Puts [`around`] around a route's handlers. A layer of each route knows what to count under, and one around the whole
/// router would have to find out with each request.
fn measured<S: Clone + Send + Sync + 'static>(
    route: &'static str,
    handlers: MethodRouter<S>,
) -> MethodRouter<S> {
    handlers.layer(from_fn_with_state(Arc::new(RouteMeters::new(route)), around))
}

/// Writes problems out, adds the headers that every answer has, and counts.
async fn around(State(meters): State<Arc<RouteMeters>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = label(request.method());
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(uri.path());
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A list is out of date with the next click.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    RequestAnswered { meters: &meters, method, status: response.status().as_u16(), elapsed: begin.elapsed() }
        .emit();
    response
}

fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        _ => "other",
    }
}
