//! Results are a function of the vectors, the version and the query, and of nothing else.

use freshet_index::{Error, Params, Snapshot, VectorIndex, Version};
use freshet_learning::{Centroids, Direction};
use freshet_schema::VideoId;

mod world;

const DIMS: usize = 16;

/// Few lists looked through: what is found depends on them.
fn params() -> Params {
    Params { dims: DIMS, train_at: 500, nprobe: 3, ..Params::default() }
}

/// Half of the vectors with entries of -1, 0 and 1, which tie all the time.
fn vectors(n: usize) -> Vec<Vec<i8>> {
    let mut draw = world::Draw::new(11);
    let mut coarse = || (0..DIMS).map(|_| draw.below(3) as i8 - 1).collect::<Vec<i8>>();
    let fine = world::clustered(n, DIMS, 60, 0.7, 3);
    fine.into_iter().enumerate().map(|(i, fine)| if i % 2 == 0 { fine } else { coarse() }).collect()
}

fn filled(vectors: &[Vec<i8>]) -> VectorIndex {
    let mut index = VectorIndex::new(params()).unwrap();
    for (id, vector) in vectors.iter().enumerate() {
        index.upsert(VideoId(id as u64), vector).unwrap();
    }
    index
}

fn queries() -> Vec<Vec<i8>> {
    [world::interests(&vectors(200), 40, 1), vectors(24)].concat()
}

#[test]
fn another_order_of_changes() {
    let vectors = vectors(3_000);
    let mut one = filled(&vectors);
    let version = one.maintain().unwrap().expect("3,000 are enough");
    assert!(version.centroids.as_ref().is_some_and(|centroids| centroids.len() > 20));

    // The same training of the same videos, backwards.
    let mut other = VectorIndex::new(params()).unwrap();
    for (id, vector) in vectors.iter().enumerate().rev() {
        other.upsert(VideoId(id as u64), vector).unwrap();
    }
    assert_eq!(other.maintain().unwrap(), Some(version.clone()));

    // Trained early on other videos, searched in between, all taken out and put back in pieces; then the same version.
    let mut third = VectorIndex::new(params()).unwrap();
    for (id, vector) in vectors.iter().enumerate().take(600) {
        third.upsert(VideoId(2_999 - id as u64), vector).unwrap();
    }
    third.maintain().unwrap().expect("600 are enough");
    for step in [7, 11, 13] {
        for i in (0..3_000).map(|i| i * step % 3_000) {
            third.upsert(VideoId(i as u64), &vectors[(i + step) % 3_000]).unwrap();
            if i % 5 == 0 {
                third.remove(VideoId(i as u64 / 2));
            }
            if i % 501 == 0 {
                third.search(&[&vectors[i]], 5).unwrap();
            }
        }
    }
    third.adopt(version).unwrap();
    for i in (0..3_000).map(|i| i * 17 % 3_000) {
        third.upsert(VideoId(i as u64), &vectors[i]).unwrap();
    }

    let queries = queries();
    for k in [1, 20, 300] {
        let expected = one.search(&world::rows(&queries), k).unwrap();
        assert_eq!(other.search(&world::rows(&queries), k).unwrap(), expected);
        assert_eq!(third.search(&world::rows(&queries), k).unwrap(), expected);
    }
    assert_eq!(one.snapshot(), other.snapshot());
    assert_eq!(one.snapshot(), third.snapshot());
}

/// FAISS goes other ways for a few queries, for many, and for many lists; equally near centroids are everywhere here.
#[test]
fn any_batch() {
    let vectors = vectors(3_000);
    let mut coarse = world::Draw::new(2);
    let rows: Vec<i16> = (0..300)
        .flat_map(|i| {
            let row: Vec<i8> = (0..DIMS).map(|_| coarse.below(3) as i8 - 1).collect();
            let row = if i % 3 == 0 { vec![1; DIMS] } else { row };
            Direction::of(&row).unwrap().entries().to_vec()
        })
        .collect();
    let version =
        Version { number: 7, trained_on: 3_000, centroids: Some(Centroids::new(DIMS, rows).unwrap()) };
    let queries = queries();
    let all = world::rows(&queries);
    assert_eq!(all.len(), 64);
    for nprobe in [1, 3, 30, 120, 250] {
        let mut index = VectorIndex::new(Params { nprobe, ..params() }).unwrap();
        index.adopt(version.clone()).unwrap();
        // One at a time, then many at once: a direction's list must be the same.
        for (id, vector) in vectors.iter().enumerate() {
            index.upsert(VideoId(id as u64), vector).unwrap();
            if id < 300 {
                index.search(&[vector], 1).unwrap();
            }
        }
        let expected = index.search(&all, 50).unwrap();
        for size in [1, 5, 19, 20, 63] {
            let found: Vec<_> = all.chunks(size).flat_map(|some| index.search(some, 50).unwrap()).collect();
            assert_eq!(found, expected, "batches of {size}, nprobe {nprobe}");
        }
        let backwards: Vec<&[i8]> = all.iter().rev().copied().collect();
        let mut found = index.search(&backwards, 50).unwrap();
        found.reverse();
        assert_eq!(found, expected, "backwards, nprobe {nprobe}");
        // All at once in another index.
        let snapshot = Snapshot { version: version.clone(), ..index.snapshot() };
        let mut at_once = VectorIndex::restore(index.params().clone(), snapshot).unwrap();
        assert_eq!(at_once.search(&all, 50).unwrap(), expected, "added at once, nprobe {nprobe}");
    }
}

#[test]
fn a_restart_answers_alike_and_does_not_train() {
    let vectors = vectors(2_000);
    let mut index = filled(&vectors);
    index.maintain().unwrap().expect("2,000 are enough");
    // Changed since, but not so much that it were trained again.
    for (i, vector) in vectors.iter().enumerate().take(500) {
        index.remove(VideoId(i as u64));
        index
            .upsert(VideoId(10_000 + i as u64), &vector.iter().map(|x| -(*x).max(-127)).collect::<Vec<_>>())
            .unwrap();
    }
    let written = serde_json::to_string(&index.snapshot()).unwrap();
    let read: Snapshot = serde_json::from_str(&written).unwrap();
    let mut restored = VectorIndex::restore(params(), read).unwrap();
    assert_eq!(restored.version(), index.version());
    assert_eq!(restored.maintain().unwrap(), None);
    let queries = queries();
    assert_eq!(
        restored.search(&world::rows(&queries), 30).unwrap(),
        index.search(&world::rows(&queries), 30).unwrap()
    );
    assert_eq!(restored.snapshot(), index.snapshot());

    // From the version alone and the videos, in either order.
    let mut again = VectorIndex::new(params()).unwrap();
    again.adopt(index.version().clone()).unwrap();
    for id in (0..20_000).map(VideoId) {
        if let Some(vector) = vectors.get(id.0 as usize).filter(|_| id.0 >= 500) {
            again.upsert(id, vector).unwrap();
        } else if let Some(vector) =
            id.0.checked_sub(10_000).filter(|i| *i < 500).map(|i| &vectors[i as usize])
        {
            again.upsert(id, &vector.iter().map(|x| -(*x).max(-127)).collect::<Vec<_>>()).unwrap();
        }
    }
    assert_eq!(
        again.search(&world::rows(&queries), 30).unwrap(),
        index.search(&world::rows(&queries), 30).unwrap()
    );
}

#[test]
fn trained_when_doubled_or_fallen_to_a_quarter() {
    let vectors: Vec<Vec<i8>> = world::clustered(2_100, DIMS, 60, 0.7, 3);
    let mut index = VectorIndex::new(params()).unwrap();
    let mut trained = Vec::new();
    for (id, vector) in vectors.iter().enumerate() {
        index.upsert(VideoId(id as u64), vector).unwrap();
        // A second video of the same direction is no reason to train.
        index.upsert(VideoId(50_000 + id as u64), vector).unwrap();
        trained.extend(
            index.maintain().unwrap().map(|version| (version.number, index.distinct(), version.trained_on)),
        );
    }
    assert_eq!(trained, [(1, 500, 500), (2, 1_000, 1_000), (3, 2_000, 2_000)]);
    assert_eq!(index.len(), 4_200);
    let mut fallen = Vec::new();
    for id in 0..2_100 {
        index.remove(VideoId(id));
        index.remove(VideoId(50_000 + id));
        fallen.extend(index.maintain().unwrap().map(|v| (v.number, v.trained_on, v.centroids.is_some())));
    }
    // Fewer than train_at are compared without lists, and nothing is left to train.
    assert_eq!(fallen, [(4, 500, true), (5, 125, false)]);
    assert!(index.is_empty());
}

#[test]
fn what_is_refused() {
    let message = |result: Result<(), Error>| result.unwrap_err().to_string();
    let wrong = Params { dims: 600, ..Params::default() };
    assert_eq!(
        message(VectorIndex::new(wrong).map(drop)),
        "index: dims = 600 is not in 1..=512: choose a value in that range"
    );
    let mut index = filled(&vectors(600));
    assert_eq!(
        message(index.upsert(VideoId(3), &[1; 20])),
        "index: the vector of video 3 has 20 entries, the index has dims = 16: give its first 16"
    );
    assert_eq!(
        message(index.search(&[&[1; DIMS], &[1; 2]], 5).map(drop)),
        "index: query 1 has 2 entries, the index has dims = 16: give its first 16"
    );
    index.maintain().unwrap().expect("600 are enough");
    let version = index.version().clone();
    let mut narrow = VectorIndex::new(Params { dims: 8, ..params() }).unwrap();
    assert!(
        message(narrow.adopt(version.clone())).starts_with("index: version 1 has centroids of 16 entries")
    );
    let direction = Direction::of(&[1; DIMS]).unwrap();
    let twice = Snapshot { version, videos: vec![(VideoId(4), direction.clone()), (VideoId(4), direction)] };
    assert_eq!(
        message(VectorIndex::restore(params(), twice).map(drop)),
        "index: the snapshot holds video 4 twice: it is damaged, restore an earlier one"
    );
    let damaged = serde_json::from_str::<Snapshot>(
        r#"{"version":{"number":1,"trained_on":9,"centroids":{"dims":2,"entries":[1,2]}},"videos":[]}"#,
    );
    assert!(
        damaged
            .unwrap_err()
            .to_string()
            .contains("row 0: 2 entries with the squared norm 5 are no direction")
    );
}

#[test]
fn a_video_without_content_is_not_held() {
    let mut index = filled(&vectors(600));
    index.maintain().unwrap();
    index.upsert(VideoId(5), &[0; DIMS]).unwrap();
    assert_eq!(index.direction(VideoId(5)), None);
    assert!(!index.remove(VideoId(5)));
    assert_eq!(index.search(&[&[0; DIMS], &[1; DIMS]], 3).unwrap()[0], []);
    assert!(index.search(&[], 3).unwrap().is_empty());
    assert_eq!(index.search(&[&[1; DIMS]], 0).unwrap(), [[]]);
}

/// A thousand videos of one direction before others: ties do not shorten the result.
#[test]
fn heaps_of_ties() {
    let mut index = filled(&world::clustered(1_000, DIMS, 60, 0.7, 3));
    for i in 0..1_000 {
        index.upsert(VideoId(100_000 - i), &[100; DIMS]).unwrap();
        // As near to the query, each its own direction.
        let mut near = [100i8; DIMS];
        (near[i as usize % DIMS], near[(i as usize / DIMS) % DIMS]) = (120, 80);
        index.upsert(VideoId(200_000 - i), &near).unwrap();
    }
    let mut all = VectorIndex::restore(Params { nprobe: 65_536, ..params() }, index.snapshot()).unwrap();
    all.maintain().unwrap().expect("enough");
    let query = [50; DIMS];
    for k in [1, 10, 100, 1_500, 5_000] {
        let found = all.search(&[&query], k).unwrap().remove(0);
        assert_eq!(found.len(), k.min(3_000));
        assert_eq!(found, all.exact(&query, k).unwrap(), "k {k}");
        assert_eq!(found[0].id, VideoId(99_001));
        assert!((found[0].cosine(&query) - 1.0).abs() < 0.001);
    }
}

#[test]
fn it_can_be_moved_to_a_worker() {
    fn moves<T: Send>() {}
    moves::<VectorIndex>();
}
