//! Any history of changes against a plain list of vectors: where all lists are looked through, results are equal.

use std::collections::BTreeMap;

use freshet_index::{Neighbour, Params, VectorIndex};
use freshet_learning::Direction;
use freshet_schema::VideoId;
use proptest::prelude::*;

mod world;

const DIMS: usize = 6;

/// The oracle: every video with its vector.
#[derive(Default)]
struct Plain(BTreeMap<VideoId, Vec<i8>>);

impl Plain {
    fn best(&self, query: &[i8], k: usize) -> Vec<Neighbour> {
        if query.iter().all(|x| *x == 0) {
            return Vec::new();
        }
        let scored = |(id, vector): (&VideoId, &Vec<i8>)| {
            Direction::of(vector).map(|direction| Neighbour { id: *id, score: direction.score(query) })
        };
        let mut all: Vec<Neighbour> = self.0.iter().filter_map(scored).collect();
        all.sort_by_key(|neighbour| (-neighbour.score, neighbour.id));
        all.truncate(k);
        all
    }

    fn held(&self) -> usize {
        self.0.values().filter(|vector| vector.iter().any(|x| *x != 0)).count()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(u64, Vec<i8>),
    Remove(u64),
    Maintain,
    Search(Vec<Vec<i8>>, usize),
}

/// Small entries tie all the time, and are zero now and then; wide ones hardly ever.
fn vector() -> impl Strategy<Value = Vec<i8>> {
    prop_oneof![
        3 => prop::collection::vec(-1i8..=1, DIMS),
        1 => prop::collection::vec(any::<i8>(), DIMS),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u64..60, vector()).prop_map(|(id, vector)| Step::Upsert(id, vector)),
        4 => (0u64..60).prop_map(Step::Remove),
        1 => Just(Step::Maintain),
        2 => (prop::collection::vec(vector(), 0..5), 0usize..40).prop_map(|(queries, k)| Step::Search(queries, k)),
    ]
}

fn run(params: Params, steps: Vec<Step>) -> Result<u64, TestCaseError> {
    let (mut index, mut plain) = (VectorIndex::new(params).unwrap(), Plain::default());
    for step in steps {
        match step {
            Step::Upsert(id, vector) => {
                index.upsert(VideoId(id), &vector).unwrap();
                plain.0.insert(VideoId(id), vector);
            }
            Step::Remove(id) => {
                let held = plain.0.remove(&VideoId(id)).is_some_and(|vector| vector.iter().any(|x| *x != 0));
                prop_assert_eq!(index.remove(VideoId(id)), held);
            }
            Step::Maintain => drop(index.maintain().unwrap()),
            Step::Search(queries, k) => {
                let expected: Vec<_> = queries.iter().map(|query| plain.best(query, k)).collect();
                prop_assert_eq!(index.search(&world::rows(&queries), k).unwrap(), expected.clone());
                for (query, expected) in queries.iter().zip(expected) {
                    prop_assert_eq!(index.exact(query, k).unwrap(), expected);
                }
            }
        }
        prop_assert_eq!(index.len(), plain.held());
    }
    Ok(index.version().number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn without_lists(steps in prop::collection::vec(step(), 0..200)) {
        prop_assert_eq!(run(Params { dims: DIMS, ..Params::default() }, steps)?, 0);
    }

    #[test]
    fn with_all_lists_looked_through(steps in prop::collection::vec(step(), 0..300)) {
        run(Params { dims: DIMS, train_at: 16, nprobe: 65_536, ..Params::default() }, steps)?;
    }
}

/// Long enough that lists lose rows everywhere, slots are used again and videos come back to a direction that nobody had for a while.
#[test]
fn churn() {
    let params = Params { dims: DIMS, train_at: 256, nprobe: 65_536, ..Params::default() };
    let (mut index, mut plain) = (VectorIndex::new(params).unwrap(), Plain::default());
    let mut draw = world::Draw::new(5);
    let mut versions = Vec::new();
    for epoch in 0..120 {
        // It grows, shrinks below what trains, and grows again.
        let grows = !(40..80).contains(&epoch);
        for _ in 0..60 {
            let id = VideoId(draw.below(3_000));
            if grows || draw.below(4) == 0 {
                let width = if draw.below(2) == 0 { 1 } else { 9 };
                let vector: Vec<i8> =
                    (0..DIMS).map(|_| draw.below(2 * width + 1) as i8 - width as i8).collect();
                index.upsert(id, &vector).unwrap();
                plain.0.insert(id, vector);
            } else if let Some(id) = plain.0.range(id..).next().map(|(id, _)| *id) {
                index.remove(id);
                plain.0.remove(&id);
            }
        }
        if !grows {
            let some: Vec<VideoId> = plain.0.keys().copied().filter(|_| draw.below(12) == 0).collect();
            for id in some {
                index.remove(id);
                plain.0.remove(&id);
            }
        }
        versions
            .extend(index.maintain().unwrap().map(|version| (version.number, version.centroids.is_some())));
        for k in [1, 10, 200] {
            let query: Vec<i8> = (0..DIMS).map(|_| draw.below(9) as i8 - 4).collect();
            assert_eq!(index.search(&[&query], k).unwrap(), [plain.best(&query, k)], "epoch {epoch}, k {k}");
        }
        assert_eq!(index.len(), plain.held());
    }
    let numbers: Vec<u64> = versions.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=versions.len() as u64).collect::<Vec<_>>());
    let with_lists: Vec<bool> = versions.iter().map(|(_, lists)| *lists).collect();
    let first_without = with_lists.iter().position(|lists| !lists).expect("lists were given up");
    assert!(first_without > 0 && with_lists[first_without..].contains(&true), "{versions:?}");
}
