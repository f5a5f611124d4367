//! The description of the API against the API: every route is described, and what the server answers is what it says.

mod support;

use std::collections::BTreeSet;

use freshet_feed_server::ROUTES;
use serde_json::{Value, json};
use support::{Server, world};

/// What of `schema` the value breaks: the part of JSON Schema that the description uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target =
            document.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere");
        return check(document, target, value, at, errors);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|choice| {
            let mut broken = Vec::new();
            check(document, choice, value, at, &mut broken);
            broken.is_empty()
        });
        if fits.count() != 1 {
            errors.push(format!("{at}: {value} fits not exactly one choice"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().map(|t| t.as_str().unwrap()).collect(),
        other => panic!("{at}: no type but {other}"),
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_u64() || n.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let widened = own == "integer" && types.contains(&"number");
    if !widened && !types.contains(&own) {
        errors.push(format!("{at}: {value} is no {types:?}"));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        errors.push(format!("{at}: {value} is none of {choices:?}"));
    }
    if schema["pattern"] == "^[0-9]{1,20}$"
        && !value.as_str().is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
    {
        errors.push(format!("{at}: {value} is no identifier"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        values
            .iter()
            .enumerate()
            .for_each(|(n, value)| check(document, items, value, &format!("{at}/{n}"), errors));
    }
    if let (Some(other), Some(members)) = (schema.get("additionalProperties"), value.as_object()) {
        members
            .iter()
            .for_each(|(name, value)| check(document, other, value, &format!("{at}/{name}"), errors));
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                errors.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, value) in members {
            match properties.get(name) {
                Some(schema) => check(document, schema, value, &format!("{at}/{name}"), errors),
                // A problem may carry members of its own.
                None if properties.contains_key("instance") => {}
                None => errors.push(format!("{at}: {name} is not described")),
            }
        }
    }
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let server = Server::start(world(), |_| {});
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path.clone()))
        })
        .collect();
    let routes = ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, routes);
    for (method, path) in ROUTES {
        let names: Vec<&str> =
            path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = document["paths"][path][method.to_lowercase()]["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let described: Vec<&str> =
            parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(described, names, "{path}");
    }
}

#[test]
fn answers_are_as_described() {
    let server = Server::start(world(), |_| {});
    let document = server.get("/openapi.json").json();
    let event = json!({"user_id": 1, "video_id": 2}).to_string();
    let cases = [
        ("GET", "/", "/", "", 200),
        ("GET", "/healthz", "/healthz", "", 200),
        ("GET", "/readyz", "/readyz", "", 200),
        ("GET", "/metrics", "/metrics", "", 200),
        ("GET", "/openapi.json", "/openapi.json", "", 200),
        ("GET", "/v1/feed/{user}", "/v1/feed/1?limit=50", "", 200),
        ("GET", "/v1/feed/{user}", "/v1/feed/99", "", 200),
        ("GET", "/v1/feed/{user}", "/v1/feed/1?cursor=x", "", 400),
        ("GET", "/v1/cohorts/{video}", "/v1/cohorts/7", "", 200),
        ("GET", "/v1/cohorts/{video}", "/v1/cohorts/x", "", 400),
        ("GET", "/v1/cohorts/{video}", "/v1/cohorts/1", "", 404),
        ("GET", "/v1/experiments", "/v1/experiments", "", 200),
        ("GET", "/v1/related/{video}", "/v1/related/7?user=1", "", 200),
        ("GET", "/v1/related/{video}", "/v1/related/7?count=0", "", 400),
        ("GET", "/v1/related/{video}", "/v1/related/1000", "", 404),
        ("GET", "/v1/trending", "/v1/trending", "", 200),
        ("GET", "/v1/trending", "/v1/trending?group=x", "", 400),
        ("GET", "/v1/video/{id}", "/v1/video/1", "", 200),
        ("GET", "/v1/video/{id}", "/v1/video/1000", "", 404),
        ("GET", "/v1/why/{user}/{video}", "/v1/why/1/7", "", 200),
        ("GET", "/v1/why/{user}/{video}", "/v1/why/3/1", "", 200),
        ("GET", "/v1/why/{user}/{video}", "/v1/why/3/4", "", 200),
        ("GET", "/v1/why/{user}/{video}", "/v1/why/99/71", "", 200),
        ("GET", "/v1/why/{user}/{video}", "/v1/why/1/51", "", 404),
        ("POST", "/v1/events", "/v1/events", event.as_str(), 202),
        ("POST", "/v1/events", "/v1/events", "{}", 422),
        ("POST", "/v1/events", "/v1/events", "{", 400),
    ];
    let mut asked = BTreeSet::new();
    for (method, route, target, body, status) in cases {
        asked.insert((method, route));
        let answer = server.ask(method, target, &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.status, status, "{target}");
        let described =
            &document["paths"][route][method.to_lowercase()]["responses"][status.to_string()]["content"];
        let media = answer.headers["content-type"].split(';').next().unwrap().to_owned();
        let schema = &described[&media]["schema"];
        assert!(!schema.is_null(), "{target}: {media} is not described");
        if media.ends_with("json") {
            let mut errors = Vec::new();
            check(&document, schema, &answer.json(), target, &mut errors);
            assert!(errors.is_empty(), "{errors:#?}");
        }
    }
    assert_eq!(asked, ROUTES.into_iter().collect(), "every route is asked");
}

#[test]
fn the_check_can_fail() {
    let document = json!({"components": {"schemas": {"A": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}}}});
    let broken = |value: Value| {
        let mut errors = Vec::new();
        check(
            &document,
            &json!({"type": "array", "items": {"$ref": "#/components/schemas/A"}}),
            &value,
            "",
            &mut errors,
        );
        errors.len()
    };
    assert_eq!(broken(json!([{"id": "1"}])), 0);
    assert_eq!(broken(json!([{"id": 1}])), 1);
    assert_eq!(broken(json!([{}])), 1);
    assert_eq!(broken(json!([{"id": "1", "more": 1}])), 1);
    assert_eq!(broken(json!({})), 1);
    let numbers = json!({"type": "object", "additionalProperties": {"type": "number"}});
    let mut errors = Vec::new();
    check(&document, &numbers, &json!({"a": 1, "b": 0.5}), "", &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    check(&document, &numbers, &json!({"a": "1"}), "", &mut errors);
    assert_eq!(errors.len(), 1);
}
