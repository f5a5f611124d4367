//! Runs the graph on a list of epochs and keeps what comes out of each.

use std::collections::BTreeMap;

use freshet_operators::graph::Tap;
use freshet_operators::lists::Answer;
use freshet_operators::params::Params;
use freshet_operators::runtime::{EpochInput, Output, start};
use freshet_schema::store::{Key, Value};

/// What one epoch did.
#[derive(Default)]
pub struct EpochOutput {
    pub changes: BTreeMap<String, Option<Vec<u8>>>,
    pub taps: Vec<Tap>,
    pub answers: Vec<Answer>,
}

/// Runs `epochs` on `workers` workers; the result is by epoch number.
pub fn run(epochs: &[EpochInput], workers: usize, params: &Params) -> BTreeMap<u64, EpochOutput> {
    let (job, outputs) = start(workers, params, true).expect("workers start");
    for epoch in epochs {
        job.send(epoch.clone()).expect("workers live");
    }
    job.finish().expect("workers end well");
    let mut result: BTreeMap<u64, EpochOutput> = BTreeMap::new();
    for output in outputs {
        match output {
            Output::Changes(_, epoch, changes) => {
                let known = &mut result.entry(epoch.0).or_default().changes;
                for (key, value) in changes {
                    let before = known.insert(key.to_string(), value);
                    assert!(before.is_none(), "{key} twice in {epoch}");
                }
            }
            Output::Taps(_, epoch, taps) => result.entry(epoch.0).or_default().taps.extend(taps),
            Output::Answers(_, epoch, answers) => result.entry(epoch.0).or_default().answers.extend(answers),
            Output::Yields(_)
            | Output::Index(..)
            | Output::Spread(..)
            | Output::Closed(..)
            | Output::Taken(..)
            | Output::Probed(..)
            | Output::Looked(..)
            | Output::Published(..)
            | Output::Waiting(..)
            | Output::Abuse(..)
            | Output::Cohorts(..)
            | Output::Sizes(..) => {}
        }
    }
    result
}

/// The store after all epochs.
pub fn store(outputs: &BTreeMap<u64, EpochOutput>) -> BTreeMap<String, Vec<u8>> {
    let mut store = BTreeMap::new();
    for output in outputs.values() {
        for (key, value) in &output.changes {
            match value {
                Some(value) => drop(store.insert(key.clone(), value.clone())),
                None => drop(store.remove(key)),
            }
        }
    }
    store
}

/// A store's value, decoded, for messages a person can read.
pub fn decoded(key: &str, bytes: &[u8]) -> Value {
    let key = Key::parse(key).expect("a key of ours");
    Value::decode(&key, bytes).expect("a value of ours")
}

/// The first key on which two stores differ, with both values.
pub fn first_difference(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    keys.into_iter().find(|key| a.get(*key) != b.get(*key)).map(|key| {
        let show = |store: &BTreeMap<String, Vec<u8>>| store.get(key).map(|bytes| decoded(key, bytes));
        format!("{key}\n one: {:?}\n two: {:?}", show(a), show(b))
    })
}
