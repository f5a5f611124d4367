//! The routes, and the layer around all of them.

use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use crate::problem::Problem;
use crate::state::ServerState;
use crate::telemetry::RequestAnswered;
use crate::{events, feed, operations, trending, video, why};

/// Every route with its method, as `/openapi.json` documents them (a test compares the two).
pub const ROUTES: [(&str, &str); 10] = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/readyz"),
    ("POST", "/v1/events"),
    ("GET", "/v1/feed/{user}"),
    ("GET", "/v1/trending"),
    ("GET", "/v1/video/{id}"),
    ("GET", "/v1/why/{user}/{video}"),
];

/// The label of requests that match no route: the path itself would let anybody make any number of series.
const UNMATCHED: &str = "unmatched";

/// The server as a service.
pub fn router(state: ServerState) -> Router {
    let mut router = Router::new();
    for (_, path) in ROUTES {
        router = router.route(path, handler(path));
    }
    router
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-route",
                "There is no such route",
                "/openapi.json lists what can be asked",
            )
        })
        .method_not_allowed_fallback(|method: Method| async move {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The route has no such method",
                format!("{method} is not answered here; /openapi.json lists what can be asked"),
            )
        })
        .layer(DefaultBodyLimit::max(state.options.max_body_bytes))
        .layer(middleware::from_fn(around))
        .with_state(state)
}

/// The handler of a route of [`ROUTES`].
fn handler(path: &'static str) -> MethodRouter<ServerState> {
    match path {
        "/" => get(operations::page),
        "/healthz" => get(operations::healthz),
        "/metrics" => get(operations::metrics),
        "/openapi.json" => get(operations::openapi),
        "/readyz" => get(operations::readyz),
        "/v1/events" => post(events::post),
        "/v1/feed/{user}" => get(feed::get),
        "/v1/trending" => get(trending::get),
        "/v1/video/{id}" => get(video::get),
        "/v1/why/{user}/{video}" => get(why::get),
        other => unreachable!("{other} stands in ROUTES without a handler"),
    }
}

/// Writes problems out, adds the headers that every answer has, and counts.
async fn around(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = label(request.method());
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = ROUTES.iter().find(|(_, path)| Some(*path) == matched).map_or(UNMATCHED, |(_, path)| path);
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(uri.path());
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A list is out of date with the next click.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    RequestAnswered { route, method, status: response.status().as_u16(), elapsed: begin.elapsed() }.emit();
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
