//! What `freshet top` shows: a page of text made of two looks at `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::table::{Align, render};

const PATIENCE: Duration = Duration::from_secs(5);

/// The text of `/metrics` at `HOST:PORT`.
///
/// # Errors
/// Where nobody answers there, or something else does.
pub fn fetch(address: &str) -> anyhow::Result<String> {
    let context = || format!("http://{address}/metrics: name a running service with --config or --address");
    let target = address.to_socket_addrs().with_context(context)?.next().with_context(context)?;
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE)).with_context(context)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .with_context(context)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(context)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => bail!("{}: that is no Freshet service", context()),
    }
}

/// Metrics of one moment: by name, and label text such as `kind="users"`.
pub struct Sample {
    at: Instant,
    series: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Sample {
    /// Reads Prometheus' text format; lines of other forms are passed over.
    pub fn parse(text: &str, at: Instant) -> Self {
        let mut series: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            let (name, labels) = match name.split_once('{') {
                Some((name, labels)) => (name, labels.trim_end_matches('}')),
                None => (name, ""),
            };
            series.entry(name.to_owned()).or_default().insert(labels.to_owned(), value);
        }
        Self { at, series }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        self.series.get(name).into_iter().flatten().map(|(labels, value)| (labels.as_str(), *value))
    }

    fn sum(&self, name: &str) -> Option<f64> {
        self.series.get(name).map(|series| series.values().sum())
    }

    /// The value of the series whose labels have `label="value"`.
    fn of(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let wanted = format!("{label}=\"{value}\"");
        self.all(name).find(|(labels, _)| labels.split(',').any(|l| l == wanted)).map(|(_, value)| value)
    }
}

/// The page.
pub fn show(address: &str, before: &Sample, now: &Sample) -> String {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-3);
    let rate = |name: &str| Some((now.sum(name)? - before.sum(name).unwrap_or(0.0)) / seconds);
    let p = |name: &str, quantile: &str| now.of(name, "quantile", quantile);
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |s| format!("{:.1} ms", s * 1e3));
    let mut page = String::new();
    let phase = now.all("freshet_phase").find(|(_, value)| *value == 1.0).map(|(labels, _)| labels);
    let phase = phase.and_then(|labels| labels.split('"').nth(1)).unwrap_or("serving");
    let _ = writeln!(page, "{address}   {phase}   epoch {}", number(now.sum("freshet_epoch")));
    let memory = number(now.sum("process_resident_memory_bytes"));
    let cpu = rate("process_cpu_seconds_total").map(|cores| cores * 100.0);
    let _ = writeln!(page, "memory {memory}B   processor {} %\n", number(cpu));
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    if now.sum("freshet_epochs_committed_total").is_some() || now.sum("freshet_in_flight_epochs").is_some() {
        row("events a second", number(rate("freshet_events_total").or(Some(0.0))));
        row("lists a second", number(rate("freshet_lists_written_total")));
        row("epochs a second", number(rate("freshet_epochs_committed_total")));
        let fresh = ["0.5", "0.99"].map(|q| ms(p("freshet_freshness_seconds", q)));
        row("event to list, p50 / p99", fresh.join(" / "));
        let epochs = ["0.5", "0.99"].map(|q| ms(p("freshet_epoch_seconds", q)));
        row("epoch, p50 / p99", epochs.join(" / "));
        let in_flight = ["freshet_in_flight_epochs", "freshet_in_flight_bytes"].map(|n| number(now.sum(n)));
        row("in flight, epochs / bytes", in_flight.join(" / "));
        row("event time behind the clock", format!("{} s", number(now.sum("freshet_watermark_lag_seconds"))));
        row("wait for their upload", number(now.sum("freshet_early_held").or(Some(0.0))));
        row("dead letters", number(now.sum("freshet_dead_letters_total")));
    }
    if let Some(up) = now.sum("freshet_store_up") {
        row("Redis", if up == 1.0 { "answers" } else { "is away" }.to_owned());
        row("bytes a second to Redis", number(rate("freshet_store_written_bytes_total")));
        row("writes tried again", number(now.sum("freshet_store_retries_total")));
        let lost =
            ["freshet_store_lost_shards", "freshet_store_slices_to_remake"].map(|n| number(now.sum(n)));
        row("to write again, shards / slices", lost.join(" / "));
    }
    row("requests a second", number(rate("freshet_http_requests_total").or(Some(0.0))));
    let feed = now.all("freshet_http_request_seconds").find(|(labels, _)| {
        labels.contains("route=\"/v1/feed/{user}\"") && labels.contains("quantile=\"0.99\"")
    });
    row("feed answered, p99", ms(feed.map(|(_, value)| value)));
    for [name, value] in rows {
        let _ = writeln!(page, "{name:<34}{value:>22}");
    }
    let rows: Vec<Vec<String>> = now
        .all("freshet_state_bytes")
        .filter_map(|(labels, bytes)| {
            let name = labels.split('"').nth(1)?;
            let entries = now.of("freshet_state_entries", "state", name);
            Some(vec![name.to_owned(), number(entries), short(bytes)])
        })
        .collect();
    if !rows.is_empty() {
        page.push('\n');
        page += &render(&[("state", Align::Left), ("entries", Align::Right), ("bytes", Align::Right)], &rows);
    }
    page
}

/// A number in four places: 0.52, 12.3, 950, 12.3k, 4.56M.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let places = match scaled.abs() {
        _ if unit.is_empty() && scaled == scaled.trunc() => 0,
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.places$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP freshet_epoch The last epoch committed.
freshet_epoch 1200
freshet_phase{phase=\"live\"} 1
freshet_phase{phase=\"replay\"} 0
freshet_events_total{kind=\"interactions\"} 1000
freshet_events_total{kind=\"uploads\"} 10
freshet_epochs_committed_total 1200
freshet_lists_written_total 5000
freshet_freshness_seconds{quantile=\"0.5\"} 0.0512
freshet_freshness_seconds{quantile=\"0.99\"} 0.0843
freshet_store_up 0
freshet_state_entries{state=\"users\"} 123456
freshet_state_bytes{state=\"users\"} 98765432
nonsense
";

    #[test]
    fn a_page_of_two_looks() {
        let begin = Instant::now();
        let before = Sample::parse(TEXT, begin);
        let later = TEXT.replace("} 1000", "} 1500").replace("written_total 5000", "written_total 5100");
        let now = Sample::parse(&later, begin + Duration::from_secs(2));
        let page = show("here:1", &before, &now);
        let row = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(page.starts_with("here:1   live   epoch 1200\n"), "{page}");
        assert!(row("events a second").ends_with(" 250"), "{page}");
        assert!(row("lists a second").ends_with(" 50"), "{page}");
        assert!(row("event to list").ends_with("51.2 ms / 84.3 ms"), "{page}");
        assert!(row("Redis").ends_with("is away"), "{page}");
        assert!(row("feed answered").ends_with('-'), "{page}");
        assert!(page.contains("users") && page.contains("123k") && page.contains("98.8M"), "{page}");
        // A server without a pipeline has nothing to say of one.
        let alone = show("here:1", &Sample::parse("", begin), &Sample::parse("", begin));
        assert!(alone.contains("serving") && !alone.contains("lists a second"), "{alone}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 7.0, 0.521, 12.34, 950.0, 9_999.0, 12_345.0, 4_560_000.0, 7.5e9].map(short);
        assert_eq!(shown, ["0", "7", "0.52", "12.3", "950", "9999", "12.3k", "4.56M", "7.50G"]);
    }
}
