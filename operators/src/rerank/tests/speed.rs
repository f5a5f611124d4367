//! What a list costs: `cargo test --release -p freshet-operators -- --ignored --nocapture what_a_list_costs`.

use std::sync::Arc;
use std::time::Instant;

use freshet_learning::{LONG_DIMS, Quantised};
use freshet_schema::hash;

use crate::content::Content;
use crate::params::{DAY, MINUTE, Params};
use crate::rerank::testing::{Signal, content, row};
use crate::rerank::{Context, Entry, Fatigue, Policy, Taste, rerank};
use crate::row::Row;

const NOW: u64 = 20_000 * DAY;

/// A vector of noise around the one of its category.
fn vector(video: u64, category: u64) -> Quantised {
    let draw = |seed: u64, at: usize| hash::mix(seed, &[at as u64]) as f64 / u64::MAX as f64 - 0.5;
    let values: [f64; LONG_DIMS] =
        std::array::from_fn(|at| 0.6 * draw(category, at) + draw(hash::mix(9, &[video]), at));
    Quantised::of(&values)
}

/// One of so many categories; where there are 100, two of five videos are of the first.
fn video(video: u64, categories: u64) -> Content {
    let draw = hash::mix(2, &[video]) % categories;
    let category = if categories == 100 && draw < 40 { 1 } else { draw + 1 };
    let tag = format!("tag{}", video % 50);
    let made = content(video, hash::mix(3, &[video]) % 300 + 1, category, &[&tag]);
    Content { vector: vector(video, category), ..made }
}

fn measure(name: &str, categories: u64, history: impl Fn(u64) -> (Content, Signal)) {
    const LISTS: u32 = 2000;
    let params = Params::default();
    // Ten users' candidates in turn, so that not all of them stay in the nearest cache.
    let pools: Vec<Vec<(f32, Arc<Content>)>> = (0..10)
        .map(|pool| {
            (0..1000)
                .map(|n| (1.0 - n as f32 / 2000.0, Arc::new(video(pool * 1000 + n, categories))))
                .collect()
        })
        .collect();
    let rows: Vec<Row> = (0..200)
        .map(|n| {
            let (content, signal) = history(100_000 + n);
            row(content, NOW - (200 - n) * MINUTE, signal)
        })
        .collect();
    let fatigue = Fatigue::of(&rows, NOW, &params);
    let taste = Taste::of(&rows, &params);
    let (mut list_ns, mut fatigue_ns) = (Vec::new(), Vec::new());
    let mut novel = 0;
    for n in 0..LISTS {
        let pool = &pools[n as usize % pools.len()];
        let entries: Vec<Entry<'_>> = pool
            .iter()
            .map(|(score, content)| Entry {
                score: *score,
                content,
                norm: content.vector.norm(LONG_DIMS),
                drawn: false,
                claimed: false,
                trusted: 1.0,
                arm: content.category,
            })
            .collect();
        let context = Context {
            subject: u64::from(n),
            now: NOW,
            rows: &rows,
            fatigue: Some(&fatigue),
            taste: Some(&taste),
            ..Context::default()
        };
        let start = Instant::now();
        let list = rerank(&entries, &context, &params);
        list_ns.push(start.elapsed().as_nanos());
        assert_eq!((list.slots.len(), list.left.len()), (100, 900));
        novel += list.slots.iter().filter(|slot| slot.policy == Policy::Novelty).count();
        let start = Instant::now();
        std::hint::black_box(Fatigue::of(&rows, NOW, &params));
        fatigue_ns.push(start.elapsed().as_nanos());
    }
    // The median: other programs take the processor away now and then.
    let us = |mut ns: Vec<u128>| {
        ns.sort_unstable();
        ns[ns.len() / 2] as f64 / 1000.0
    };
    println!(
        "{name}: {:.1} us a list of 100 of 1,000 ({:.1} places of novelty), {:.1} us to read 200 rows for fatigue{}",
        us(list_ns),
        novel as f64 / f64::from(LISTS),
        us(fatigue_ns),
        if fatigue.is_strong() { " (strong)" } else { "" },
    );
}

#[test]
#[ignore = "measures, and asserts nothing: to be run by hand, in release and on a quiet machine"]
fn what_a_list_costs() {
    let watched = |categories: u64| move |n: u64| (video(n, categories), Signal::Watched);
    measure("30 categories, all watched", 30, watched(30));
    measure("60 categories, two of five videos of one", 100, watched(100));
    measure("3 categories", 3, watched(3));
    measure("1 category", 1, watched(1));
    measure("200 categories, everything new", 200, move |n| {
        (Content { space: 0, ..video(n * 7, 1) }, Signal::Watched)
    });
    measure("30 categories, one in three skipped", 30, |n| {
        (video(n, 30), if n % 3 == 0 { Signal::Skipped } else { Signal::Watched })
    });
    measure("30 categories, some disliked", 30, |n| {
        (video(n, 30), if n % 40 == 0 { Signal::Disliked } else { Signal::Watched })
    });
}
