//! How much of the exact results is found, with everything at its default.

use freshet_index::{Params, VectorIndex};
use freshet_schema::VideoId;

mod world;

fn recall(vectors: &[Vec<i8>]) -> f64 {
    let mut index = VectorIndex::new(Params::default()).unwrap();
    for (id, vector) in vectors.iter().enumerate() {
        index.upsert(VideoId(id as u64), vector).unwrap();
    }
    let queries = world::interests(vectors, 100, 2);
    let before = index.recall(&world::rows(&queries), 100).unwrap();
    assert_eq!((before.found, before.wanted), (10_000, 10_000), "all are compared before the first training");
    let version = index.maintain().unwrap().expect("enough to train");
    assert!(version.centroids.is_some_and(|centroids| centroids.len() == 512));
    index.recall(&world::rows(&queries), 100).unwrap().share()
}

#[test]
fn clustered_vectors() {
    let dims = Params::default().dims;
    let share = recall(&world::clustered(20_000, dims, 200, 0.7, 1));
    assert!(share >= 0.95, "{share}");
}

#[test]
fn vectors_of_the_built_in_embedder() {
    let share = recall(&world::uploads(20_000, Params::default().dims, 1));
    assert!(share >= 0.9, "{share}");
}
