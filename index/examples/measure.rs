//! Measures an index: `cargo run --release -p freshet-index --example measure [VECTORS [DIMS [NPROBE]]]`.
//!
//! Rates are per CPU second of this process. FAISS and OpenBLAS run on one thread.

#[path = "../tests/world/mod.rs"]
mod world;

use std::error::Error;
use std::fs;
use std::time::Instant;

use freshet_index::{Params, VectorIndex};
use freshet_schema::VideoId;

const K: usize = 100;
const QUERIES: usize = 2_000;

/// CPU seconds of this process so far, user and system; on the wall's clock where there is no `/proc`.
fn cpu(begin: Instant) -> f64 {
    let ticks = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
    });
    ticks.map_or_else(|| begin.elapsed().as_secs_f64(), |ticks| ticks / 100.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    freshet_index::one_thread()?;
    let argument = |place: usize, default: usize| -> Result<usize, Box<dyn Error>> {
        std::env::args().nth(place).map_or(Ok(default), |text| {
            text.parse().map_err(|e| format!("argument {place}, {text:?}: {e}; give a whole number").into())
        })
    };
    let n = argument(1, 100_000)?;
    let dims = argument(2, 128)?;
    let nprobe = argument(3, Params::default().nprobe as usize)?;
    let params = Params { dims, nprobe: u32::try_from(nprobe)?, ..Params::default() };
    println!("{n} vectors x {dims}, {params:?}, k = {K}, {QUERIES} queries");
    let begin = Instant::now();
    let span = |label: &str, count: usize, from: f64| {
        let seconds = cpu(begin) - from;
        println!(
            "  {label:<34} {count:>8} in {seconds:>6.2} CPU s: {:>10.0}/s",
            count as f64 / seconds.max(0.01)
        );
    };
    for (name, vectors, more) in [
        ("clustered", world::clustered(n, dims, 2_000, 0.7, 1), world::clustered(2 * n, dims, 2_000, 0.7, 1)),
        ("uploads", world::uploads(n, dims, 1), world::uploads(2 * n, dims, 1)),
    ] {
        println!("{name}:");
        let mut index = VectorIndex::new(params.clone())?;
        let from = cpu(begin);
        for (id, vector) in vectors.iter().enumerate() {
            index.upsert(VideoId(id as u64), vector)?;
        }
        span("upserts before training", n, from);

        let from = cpu(begin);
        let version = index.maintain()?;
        span("training and lists", index.distinct(), from);
        let lists = version.and_then(|v| Some(v.centroids?.len())).unwrap_or(0);
        println!("  lists {lists}, distinct directions {}", index.distinct());

        let queries = world::interests(&vectors, QUERIES, 2);
        let queries = world::rows(&queries);
        for batch in [1, 64] {
            let from = cpu(begin);
            for some in queries.chunks(batch) {
                index.search(some, K)?;
            }
            span(&format!("searches in batches of {batch}"), QUERIES, from);
        }
        let from = cpu(begin);
        for query in &queries[..200] {
            index.exact(query, K)?;
        }
        span("exact searches", 200, from);
        println!("  recall@{K} {:.4}", index.recall(&queries[..500], K)?.share());

        // Changes as epochs bring them: a thousand, then a query that hands them to the lists.
        let fresh = &more[n..];
        let from = cpu(begin);
        for (epoch, some) in fresh[..n / 2].chunks(1_000).enumerate() {
            for (i, vector) in some.iter().enumerate() {
                index.upsert(VideoId((n + epoch * 1_000 + i) as u64), vector)?;
            }
            index.search(&queries[..1], K)?;
        }
        span("additions, 1,000 an epoch", n / 2, from);
        let from = cpu(begin);
        for epoch in 0..n / 2_000 {
            for i in 0..1_000 {
                index.remove(VideoId((epoch * 1_000 + i) as u64));
            }
            index.search(&queries[..1], K)?;
        }
        span("removals, 1,000 an epoch", n / 2_000 * 1_000, from);
        println!(
            "  recall@{K} {:.4} with half of the vectors changed since the training",
            index.recall(&queries[..500], K)?.share()
        );
    }
    Ok(())
}
