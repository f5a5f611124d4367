//! What the server counts, seen by a recorder that writes down what it is asked for.

mod support;

use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use support::{Server, world};

type Seen = Arc<Mutex<Vec<String>>>;

#[derive(Clone, Default)]
struct Book {
    described: Seen,
    counted: Seen,
}

struct Entry(Seen, String);

impl CounterFn for Entry {
    fn increment(&self, value: u64) {
        self.0.lock().unwrap().push(format!("{} +{value}", self.1));
    }
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Entry {
    fn record(&self, value: f64) {
        assert!((0.0..10.0).contains(&value));
        self.0.lock().unwrap().push(self.1.clone());
    }
}

impl Book {
    fn entry(&self, key: &Key) -> Arc<Entry> {
        let labels: Vec<String> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        Arc::new(Entry(self.counted.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }
    fn describe(&self, name: &KeyName) {
        self.described.lock().unwrap().push(name.as_str().to_owned());
    }
}

impl Recorder for Book {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }
    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }
    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.entry(key))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.entry(key))
    }
}

#[test]
fn requests_items_and_events_are_counted_by_route() {
    let book = Book::default();
    metrics::set_global_recorder(book.clone()).map_err(|_| "a recorder is set already").unwrap();
    freshet_feed_server::describe_metrics();
    let mut server = Server::start(world(), |_| {});
    server.get("/v1/feed/2?limit=4");
    server.get("/no/such/route");
    server.post(r#"[{"user_id":1,"video_id":2},{"user_id":1,"video_id":3}]"#);
    server.stop();
    let counted = book.counted.lock().unwrap().clone();
    let times = |line: &str| counted.iter().filter(|seen| *seen == line).count();
    assert_eq!(
        times("freshet_http_requests_total{route=/v1/feed/{user},method=GET,status=200} +1"),
        1,
        "{counted:#?}"
    );
    assert_eq!(times("freshet_http_requests_total{route=unmatched,method=GET,status=404} +1"), 1);
    assert_eq!(times("freshet_http_requests_total{route=/v1/events,method=POST,status=202} +1"), 1);
    assert_eq!(times("freshet_http_request_seconds{route=/v1/feed/{user}}"), 1);
    assert_eq!(times("freshet_feed_items_total{policy=rank} +3"), 1);
    assert_eq!(times("freshet_feed_items_total{policy=trending} +1"), 1);
    assert_eq!(times("freshet_events_posted_total{kind=interactions} +2"), 1);
    let described = book.described.lock().unwrap();
    for line in &counted {
        let name = line.split('{').next().unwrap();
        assert!(described.iter().any(|d| d == name), "{name} is not described");
    }
}
