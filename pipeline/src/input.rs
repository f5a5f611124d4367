//! What the configuration says of the input, put as the source and the feed server need it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use freshet_feed_server::{Clock, Validate};
use freshet_schema::EventKind;
use freshet_sinks::{EventLog, EventSink, KafkaEventLog};
use freshet_sources::epochs::{LiveClock, SourceConfig};
use freshet_sources::kafka::KafkaConfig;
use freshet_sources::validate::{ClockRule, Limits, check_clock, validate};

use crate::config::{self, Config, InputSource};

/// How to read the input; `stop` is looked at where brokers are waited for.
#[must_use]
pub fn source_config(config: &Config, once: bool, stop: &Arc<AtomicBool>) -> SourceConfig {
    let clock = &config.clock;
    SourceConfig {
        dir: config.input.dir.clone(),
        kafka: kafka_config(config, stop),
        journal: config.journal.file(),
        follow: config.input.follow && !once,
        replay_epoch_ms: clock.replay_epoch_ms,
        epoch_ms: clock.epoch_ms,
        tick_ms: clock.tick_ms,
        max_epoch_records: clock.max_epoch_records,
        max_epoch_bytes: clock.max_epoch_bytes,
        live_clock: live_clock(config),
        limits: Limits::default(),
        min_event_time: clock.min_event_time,
        max_event_time: clock.max_event_time,
        max_future_skew_ms: clock.max_future_skew_ms,
        max_now_step_ms: clock.max_now_step_ms,
    }
}

fn live_clock(config: &Config) -> LiveClock {
    match (config.clock.live, config.input.source) {
        (config::LiveClock::Wall, _) | (config::LiveClock::Auto, InputSource::Kafka) => LiveClock::Wall,
        _ => LiveClock::Shifted,
    }
}

fn kafka_config(config: &Config, stop: &Arc<AtomicBool>) -> Option<KafkaConfig> {
    if config.input.source != InputSource::Kafka {
        return None;
    }
    let kafka = &config.kafka;
    Some(KafkaConfig {
        payloads: kafka.payloads(),
        group: kafka.group.clone(),
        fetch_ahead: kafka.fetch_ahead,
        stop: Arc::clone(stop),
        ..KafkaConfig::new(kafka.connection()?, kafka.topics())
    })
}

/// The input must be there before anything is made, so that a mistyped folder is not silently created. Topics are looked for
/// when the source is opened: brokers may be away.
///
/// # Errors
/// Where there is no event log.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let dir = &config.input.dir;
    let streams = EventKind::ALL.map(EventKind::folder);
    if config.input.source == InputSource::Files && !streams.iter().any(|stream| dir.join(stream).is_dir()) {
        bail!(
            "input.dir = {:?}: no event log is there (a folder with one of {}); make one with `freshet generate` or \
             `freshet import`, name another with --input DIR, or begin an empty one with `mkdir -p {}`",
            dir.display().to_string(),
            streams.join(", "),
            dir.join("interactions").display()
        );
    }
    Ok(())
}

/// Where posted events and handed-out pages go: to where the pipeline reads them.
///
/// # Errors
/// Where the log cannot be written, or the client's options are wrong.
pub fn event_sink(config: &Config) -> anyhow::Result<Arc<dyn EventSink>> {
    match (config.input.source, config.kafka.connection()) {
        (InputSource::Kafka, Some(connection)) => {
            let (topics, payloads) = (config.kafka.topics(), config.kafka.payloads());
            let patience = Duration::from_millis(config.kafka.ack_timeout_ms);
            Ok(Arc::new(KafkaEventLog::open(&connection, topics, payloads, patience)?))
        }
        _ => {
            let log = EventLog::open(&config.input.dir).context("the log that posted events go to")?;
            Ok(Arc::new(log))
        }
    }
}

/// The same for a feed server that is a process of its own; where it can only read, the inner error says why.
///
/// # Errors
/// Where the client's options are wrong.
pub fn shared_event_sink(config: &Config) -> anyhow::Result<Result<Arc<dyn EventSink>, &'static str>> {
    Ok(match (config.input.source, live_clock(config)) {
        (InputSource::Files, _) => Err("the log in input.dir is written by the pipeline's process alone"),
        _ if !config.input.follow => Err("input.follow = false: the pipeline ends with its backlog"),
        (_, LiveClock::Shifted) => {
            Err("clock.live = \"shifted\": only the pipeline knows what time it is there")
        }
        (InputSource::Kafka, LiveClock::Wall) => Ok(event_sink(config)?),
    })
}

/// The rules by which the pipeline would refuse an event, whose clock is `clock`: whoever posts it hears of it at once.
#[must_use]
pub fn rules(config: &Config, clock: Arc<dyn Clock>) -> Validate {
    let (limits, min_event_time) = (Limits::default(), config.clock.min_event_time);
    let max_future_skew_ms = config.clock.max_future_skew_ms;
    Arc::new(move |event| {
        let rule = ClockRule::Live { now: clock.now(), max_future_skew_ms };
        validate(event, &limits)
            .and_then(|()| check_clock(event.event_time(), min_event_time, rule))
            .map_err(|rejection| rejection.detail)
    })
}
