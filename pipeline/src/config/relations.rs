//! What one key alone cannot tell: values that must fit each other.

use freshet_kafka::Payload;
use freshet_operators::params::{ExploreArms, Params};
use freshet_schema::EventKind;
use freshet_sinks::RedisOptions;

use super::document::Document;
use super::mistake::Mistake;
use super::units::{format_duration, format_time};
use super::{Config, InputSource, StoreKind};

/// Reads the token's environment variable and checks the values against each other.
pub fn check(
    config: &mut Config,
    document: &Document,
    env: &dyn Fn(&str) -> Option<String>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut wrong = |key: &str, value: String, what: String, remedy: &str| {
        mistakes.push(Mistake {
            place: document.located(key).map_or_else(|| "defaults".to_owned(), |l| l.place.clone()),
            key: key.to_owned(),
            value,
            what,
            remedy: remedy.to_owned(),
        });
    };

    if let Some(variable) = config.server.token_env.clone() {
        if config.server.token.is_some() {
            wrong(
                "server.token_env",
                format!("{variable:?}"),
                "server.token is set too".to_owned(),
                "keep one of the two; the environment variable keeps the secret out of the file",
            );
        } else {
            match env(&variable).filter(|token| !token.is_empty()) {
                Some(token) => config.server.token = Some(token),
                None => wrong(
                    "server.token_env",
                    format!("{variable:?}"),
                    "the environment variable is not set, or empty".to_owned(),
                    "export it before the start, or remove the key",
                ),
            }
        }
    }
    redis(config, document, env, &mut wrong);
    super::places::check(config, &mut wrong);

    let listen = config.server.listen;
    if !listen.ip().is_loopback() && config.server.token.is_none() && config.server.token_env.is_none() {
        wrong(
            "server.listen",
            format!("\"{listen}\""),
            "beyond loopback anybody could post events".to_owned(),
            "set server.token_env (or server.token), or listen on 127.0.0.1",
        );
    }

    let (least, most) = (config.supervisor.backoff_ms, config.supervisor.max_backoff_ms);
    if most < least {
        wrong(
            "supervisor.max_backoff",
            format!("\"{}\"", format_duration(most)),
            format!("supervisor.backoff = \"{}\" is longer", format_duration(least)),
            "let the longest pause be at least as long as the first",
        );
    }

    kafka(config, env, &mut wrong);

    let clock = &config.clock;
    if clock.epoch_ms > clock.tick_ms {
        wrong(
            "clock.tick_ms",
            clock.tick_ms.to_string(),
            format!("shorter than clock.epoch_ms = {}", clock.epoch_ms),
            "make tick_ms at least epoch_ms",
        );
    }
    if clock.max_event_time.is_some_and(|max| max <= clock.min_event_time) {
        let max = clock.max_event_time.unwrap_or_default();
        wrong(
            "clock.max_event_time",
            format_time(max),
            format!("not after clock.min_event_time = {}", format_time(clock.min_event_time)),
            "every record would be refused: set a later max_event_time",
        );
    }
    let interest = &config.params.interest;
    if interest.mid_window > interest.long_window {
        wrong(
            "interest.mid_window",
            format!("\"{}\"", format_duration(interest.mid_window)),
            format!("longer than interest.long_window = {}", format_duration(interest.long_window)),
            "make long_window at least mid_window",
        );
    }
    if interest.blend.iter().sum::<f64>() <= 0.0 {
        wrong(
            "interest.blend",
            format!("{:?}", interest.blend),
            "all shares are zero: nothing could be compared".to_owned(),
            "make at least one share positive",
        );
    }
    let score = &config.params.score;
    if score.performance_weights[..2].iter().sum::<f64>() <= 0.0 {
        wrong(
            "score.performance_weights",
            format!("{:?}", score.performance_weights),
            "the weights of watch time and completion are both zero".to_owned(),
            "make at least one of the first two positive",
        );
    }
    let candidates = &config.params.candidates;
    if candidates.followed + candidates.hashtags + candidates.sounds + candidates.trending == 0 {
        wrong(
            "candidates.trending",
            "0".to_owned(),
            "all quotas are zero: no list could hold a video".to_owned(),
            "give at least one source a quota; the seed has 200/300/200/300",
        );
    }
    for (key, value, what, remedy) in lists(&config.params) {
        wrong(key, value, what, remedy);
    }
    cohorts(config, &mut wrong);
    let abuse = &config.params.abuse;
    if abuse.burst > abuse.window {
        wrong(
            "abuse.burst",
            format!("\"{}\"", format_duration(abuse.burst)),
            format!("longer than abuse.window = {}", format_duration(abuse.window)),
            "a burst is judged within the window: make it shorter",
        );
    }
    if config.input.dir == config.store.dir {
        wrong(
            "store.dir",
            format!("{:?}", config.store.dir),
            "the same folder as input.dir".to_owned(),
            "keep the store in a folder of its own: it is written, the input is read",
        );
    }
}

/// What is wrong between keys that are read where a list is made: key, value, what, remedy.
pub fn lists(params: &Params) -> Vec<(&'static str, String, String, &'static str)> {
    let mut wrong = Vec::new();
    let feed = &params.feed;
    if feed.per_category > feed.category_window {
        wrong.push((
            "feed.per_category",
            feed.per_category.to_string(),
            format!("more than feed.category_window = {} neighbours", feed.category_window),
            "make it at most category_window",
        ));
    }
    let exploration = &params.exploration;
    if exploration.learns() && !params.learning.enabled {
        wrong.push((
            "exploration.policy",
            format!("{:?}", exploration.policy.as_str()),
            "learning.enabled is false, and a category's estimate is learned from the same rows".to_owned(),
            "set learning.enabled = true, or exploration.policy = \"random\" or \"off\"",
        ));
    }
    if exploration.arms == ExploreArms::Cohorts && !params.cohorts.enabled {
        wrong.push((
            "exploration.arms",
            "\"cohorts\"".to_owned(),
            "cohorts.enabled is false, so no video is ever in a stage".to_owned(),
            "set cohorts.enabled = true, or exploration.arms = \"categories\"",
        ));
    }
    let rerank = &params.rerank;
    if rerank.novelty_max_share < rerank.novelty_share {
        wrong.push((
            "rerank.novelty_max_share",
            format!("{:?}", rerank.novelty_max_share),
            format!("less than rerank.novelty_share = {:?}", rerank.novelty_share),
            "make it at least novelty_share; the seed's share doubled is 0.3",
        ));
    }
    if rerank.taste_until < rerank.taste_full {
        wrong.push((
            "rerank.taste_until",
            rerank.taste_until.to_string(),
            format!("less than rerank.taste_full = {}", rerank.taste_full),
            "the boost ends after it was full: make it at least taste_full",
        ));
    }
    wrong
}

fn cohorts(config: &Config, wrong: &mut dyn FnMut(&str, String, String, &str)) {
    let cohorts = &config.params.cohorts;
    let slots = [
        ("cohorts.last_slot", "cohorts.first_slot", cohorts.first_slot, cohorts.last_slot),
        (
            "cohorts.expanded_last_slot",
            "cohorts.expanded_first_slot",
            cohorts.expanded_first_slot,
            cohorts.expanded_last_slot,
        ),
    ];
    for (key, before, first, last) in slots {
        if last < first {
            wrong(
                key,
                last.to_string(),
                format!("before {before} = {first}"),
                "a claim needs a place: make the last one at least the first one",
            );
        } else if cohorts.enabled && first > config.params.feed.length {
            wrong(
                before,
                first.to_string(),
                format!("behind the end of a list: feed.length = {}", config.params.feed.length),
                "no cohort would ever be shown a video: choose places that lists have",
            );
        }
    }
    if cohorts.floor > cohorts.size {
        wrong(
            "cohorts.floor",
            cohorts.floor.to_string(),
            format!("more than cohorts.size = {}", cohorts.size),
            "make it at most size; the seed's cohorts have 100 to 1,000 users",
        );
    }
    let largest = cohorts.size as f64 * cohorts.factor.powi(cohorts.graduate_after.saturating_sub(1) as i32);
    if largest > 10_000_000.0 {
        wrong(
            "cohorts.factor",
            format!("{:?}", cohorts.factor),
            format!(
                "with {} promotions the last cohort would have {largest:.0} users",
                cohorts.graduate_after
            ),
            "lower factor, size or graduate_after: at most 10,000,000 are invited for a stage",
        );
    }
    if cohorts.keep < cohorts.max_age {
        wrong(
            "cohorts.keep",
            format!("\"{}\"", format_duration(cohorts.keep)),
            format!("shorter than cohorts.max_age = {}", format_duration(cohorts.max_age)),
            "a video that is still new would begin again: make it at least max_age",
        );
    }
}

/// Reads the password's environment variable and checks the address.
fn redis(
    config: &mut Config,
    document: &Document,
    env: &dyn Fn(&str) -> Option<String>,
    wrong: &mut dyn FnMut(&str, String, String, &str),
) {
    let redis = &mut config.redis;
    if config.store.kind != StoreKind::Redis {
        // A file that says how to reach a server and then does not use it is more likely a mistake than a wish.
        if *redis != Config::default().redis
            && let Some(key) = super::keys::KEYS
                .iter()
                .find(|k| k.section() == "redis" && document.located(k.name).is_some())
        {
            wrong(
                key.name,
                String::new(),
                "store.kind is \"embedded\": nothing reads it".to_owned(),
                "write kind = \"redis\" under [store], or remove the section [redis]",
            );
        }
        return;
    }
    // The address is shown in messages and by `freshet check`.
    let authority =
        redis.url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if authority.split_once('@').is_some_and(|(user, _)| user.contains(':')) || redis.url.contains("pass=") {
        wrong(
            "redis.url",
            String::new(),
            "the address holds a password".to_owned(),
            "take it out, and name an environment variable that holds it in redis.password_env",
        );
    } else if let Err(error) = (RedisOptions { tls_ca: None, tls_client: None, ..redis.options() }).client() {
        wrong(
            "redis.url",
            format!("{:?}", redis.url),
            error.to_string(),
            "write redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE for TLS, or unix:///PATH",
        );
    }
    let encrypted = redis.url.starts_with("rediss://") || redis.url.starts_with("valkeys://");
    let given = [
        ("redis.tls_ca", &redis.tls_ca),
        ("redis.tls_cert", &redis.tls_cert),
        ("redis.tls_key", &redis.tls_key),
    ];
    for (key, file) in given {
        let Some(file) = file else { continue };
        if !encrypted {
            wrong(
                key,
                format!("{file:?}"),
                "redis.url is not encrypted".to_owned(),
                "write rediss:// in redis.url, or remove the key",
            );
        } else if let Err(error) = std::fs::File::open(file) {
            wrong(
                key,
                format!("{file:?}"),
                format!("cannot be read: {error}"),
                "name a readable file in PEM form",
            );
        }
    }
    if redis.tls_cert.is_some() != redis.tls_key.is_some() {
        let (key, other) = match redis.tls_key {
            None => ("redis.tls_cert", "redis.tls_key"),
            Some(_) => ("redis.tls_key", "redis.tls_cert"),
        };
        wrong(
            key,
            String::new(),
            format!("{other} is not set"),
            "a certificate and its key belong together: set both",
        );
    }
    if let Some(variable) = redis.password_env.clone() {
        if redis.password.is_some() {
            wrong(
                "redis.password_env",
                format!("{variable:?}"),
                "redis.password is set too".to_owned(),
                "keep one of the two; the environment variable keeps the secret out of the file",
            );
        } else {
            match env(&variable).filter(|password| !password.is_empty()) {
                Some(password) => redis.password = Some(password),
                None => wrong(
                    "redis.password_env",
                    format!("{variable:?}"),
                    "the environment variable is not set, or empty".to_owned(),
                    "export it before the start, or remove the key",
                ),
            }
        }
    }
}

/// What `[kafka]` must have where it is used.
fn kafka(
    config: &mut Config,
    env: &dyn Fn(&str) -> Option<String>,
    wrong: &mut dyn FnMut(&str, String, String, &str),
) {
    let kafka = &mut config.kafka;
    let reads = config.input.source == InputSource::Kafka;
    if reads && kafka.brokers.is_none() {
        wrong(
            "input.source",
            "\"kafka\"".to_owned(),
            "kafka.brokers is not set".to_owned(),
            "name the brokers as \"HOST:PORT\", with commas between them, under [kafka] or with --kafka",
        );
    }
    if let Some(brokers) = &kafka.brokers {
        let address = |one: &str| {
            one.trim()
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !brokers.split(',').all(address) {
            wrong(
                "kafka.brokers",
                format!("{brokers:?}"),
                "not HOST:PORT, or several with commas between them".to_owned(),
                "write for example \"127.0.0.1:9092\" or \"a.example:9092,b.example:9092\"",
            );
        }
    }
    if reads && kafka.topics.iter().all(Option::is_none) {
        wrong(
            "kafka.interactions",
            "\"\"".to_owned(),
            "no stream has a topic: there is nothing to read".to_owned(),
            "name at least the topics of interactions and of uploads",
        );
    }
    if kafka.dead_letters.is_some() && kafka.brokers.is_none() {
        let topic = kafka.dead_letters.as_deref().unwrap_or_default();
        wrong(
            "kafka.dead_letters",
            format!("{topic:?}"),
            "kafka.brokers is not set".to_owned(),
            "name the brokers, or remove the key: dead letters are always in the file in store.dir",
        );
    }
    for (stream, format) in &kafka.formats {
        if !EventKind::ALL.iter().any(|kind| kind.folder() == stream) {
            let streams = EventKind::ALL.map(EventKind::folder).join(", ");
            wrong(
                "kafka.formats",
                format!("{stream:?}"),
                format!("no stream; they are {streams}"),
                "name one of them",
            );
        }
        if let Err(error) = format.parse::<Payload>() {
            wrong(
                "kafka.formats",
                format!("{format:?}"),
                error.to_string(),
                "write \"json\" or \"protobuf\"",
            );
        }
    }
    let streams = EventKind::ALL.into_iter().zip(&kafka.topics);
    let mut named: Vec<(&str, &str)> =
        streams.filter_map(|(kind, topic)| Some((kind.folder(), topic.as_deref()?))).collect();
    named.extend(kafka.dead_letters.as_deref().map(|topic| ("dead_letters", topic)));
    for (at, (key, topic)) in named.iter().enumerate() {
        if let Some((other, _)) = named[..at].iter().find(|(_, earlier)| earlier == topic) {
            wrong(
                &format!("kafka.{key}"),
                format!("{topic:?}"),
                format!("kafka.{other} names the same topic"),
                "give each stream a topic of its own: the topic says what a record is",
            );
        }
    }
    for (property, variable) in &kafka.options_env {
        let value = env(variable).filter(|value| !value.is_empty());
        match value {
            Some(_) if kafka.options.contains_key(property) => wrong(
                "kafka.options_env",
                format!("{property:?} = {variable:?}"),
                "kafka.options has the same property".to_owned(),
                "keep one of the two; the environment variable keeps a secret out of the file",
            ),
            Some(value) => {
                kafka.from_env.insert(property.clone(), value);
            }
            None => wrong(
                "kafka.options_env",
                format!("{property:?} = {variable:?}"),
                "the environment variable is not set, or empty".to_owned(),
                "export it before the start, or remove the property",
            ),
        }
    }
    if let Some(Err(error)) = kafka.connection().map(|connection| connection.check()) {
        wrong("kafka.options", String::new(), error.to_string(), "remove the property");
    }
}
