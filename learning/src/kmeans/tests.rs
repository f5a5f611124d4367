use super::*;
use proptest::prelude::*;

const DIMS: usize = 16;

/// `n` vectors about `centres` directions, the same for the same seed.
fn clustered(n: usize, centres: u64, noise: u64, seed: u64) -> Vec<Direction> {
    let entry = |parts: &[u64], width: u64| (hash::mix(seed, parts) % (2 * width + 1)) as i64 - width as i64;
    (0..n as u64)
        .map(|i| {
            let vector: Vec<i8> = (0..DIMS as u64)
                .map(|d| (entry(&[0, i % centres, d], 90) + entry(&[1, i, d], noise)).clamp(-127, 127) as i8)
                .collect();
            Direction::of(&vector).unwrap()
        })
        .collect()
}

fn rows(points: &[Direction]) -> Vec<&Direction> {
    points.iter().collect()
}

/// Sum of the cosines of all vectors with their centroid: what spherical k-means makes as large as it can.
fn fitness(points: &[Direction], centroids: &Centroids) -> f64 {
    let cosine = |point: &Direction| {
        let row = centroids.rows().nth(centroids.nearest(point).unwrap()).unwrap();
        f64::from(dot(point.entries(), row)) / f64::from(NORM).powi(2)
    };
    points.iter().map(cosine).sum()
}

#[test]
fn groups_that_lie_apart_are_found() {
    let vectors = clustered(600, 6, 8, 3);
    for centroids in [fit(&rows(&vectors), DIMS, 6, 20, 1), fit(&rows(&vectors), DIMS, 12, 20, 1)] {
        for (i, vector) in vectors.iter().enumerate().skip(6) {
            let of_first = vectors[..6].iter().map(|v| centroids.nearest(v)).collect::<Vec<_>>();
            if centroids.len() == 6 {
                assert_eq!(centroids.nearest(vector), of_first[i % 6], "vector {i}");
            }
        }
        assert!(fitness(&vectors, &centroids) > 0.97 * vectors.len() as f64);
    }
}

#[test]
fn iterations_never_fit_worse() {
    let vectors = clustered(500, 40, 60, 5);
    let fitted: Vec<f64> =
        [0, 1, 3, 10].map(|n| fitness(&vectors, &fit(&rows(&vectors), DIMS, 20, n, 9))).into();
    assert!(fitted.is_sorted(), "{fitted:?}");
    assert!(fitted[3] > fitted[0]);
}

#[test]
fn nested_is_nearly_as_good_and_has_all_its_centroids() {
    let vectors = clustered(4_000, 300, 50, 5);
    let (plain, nested) =
        (fit(&rows(&vectors), DIMS, 128, 10, 2), fit_nested(&rows(&vectors), DIMS, 128, 10, 2));
    assert_eq!((plain.len(), nested.len()), (128, 128));
    let (plain, nested) = (fitness(&vectors, &plain), fitness(&vectors, &nested));
    assert!(nested > 0.98 * plain, "{nested} {plain}");
}

#[test]
fn a_centroid_that_loses_its_points_takes_a_misfit() {
    let (heap, other) = (Direction::of(&[100; DIMS]).unwrap(), Direction::of(&[-100; DIMS]).unwrap());
    let mut directions = vec![heap.clone(); 50];
    directions.push(other.clone());
    let points = Points::new(&rows(&directions), DIMS);
    let all: Vec<u32> = (0..51).collect();
    // Both centroids lie in the same heap: the second of equals gets nothing.
    let twice = [heap.entries(), heap.entries()].concat();
    let centroids = finish(DIMS, lloyd(&points, &all, twice, 5));
    assert_ne!(centroids.nearest(&heap), centroids.nearest(&other));
    for fitter in [fit, fit_nested] {
        assert_eq!(fitter(&rows(&directions), DIMS, 100, 5, 1).len(), 2, "no more centroids than directions");
    }
}

#[test]
fn nothing_to_fit_is_no_centroids() {
    let one = |vector: &[i8]| Direction::of(vector).unwrap();
    assert!(fit(&[], DIMS, 4, 3, 1).is_empty());
    assert!(fit_nested(&[], DIMS, 100, 3, 1).is_empty());
    assert_eq!(fit(&[&one(&[1; DIMS]), &one(&[1; 3])], DIMS, 4, 3, 1).len(), 1);
    assert_eq!(fit(&[], DIMS, 4, 3, 1).nearest(&one(&[1; DIMS])), None);
}

#[test]
fn damaged_centroids_are_refused() {
    assert_eq!(Centroids::new(0, vec![]), Err(BadCentroids::Dims(0)));
    assert_eq!(Centroids::new(513, vec![]), Err(BadCentroids::Dims(513)));
    assert_eq!(Centroids::new(2, vec![1; 3]), Err(BadCentroids::Rows { dims: 2, entries: 3 }));
    let error = Centroids::new(2, vec![0, 4000, 4000, 4000]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "centroids: row 1: 2 entries with the squared norm 32000000 are no direction: the data is damaged"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn centroids_are_directions_and_repeat(n in 1usize..200, k in 1usize..80, centres in 1u64..40, seed: u64) {
        let vectors = clustered(n, centres, 20, seed);
        for fitter in [fit, fit_nested] {
            let centroids = fitter(&rows(&vectors), DIMS, k, 4, seed);
            prop_assert_eq!(&centroids, &fitter(&rows(&vectors), DIMS, k, 4, seed));
            prop_assert!(centroids.len() <= k.min(n));
            for row in centroids.rows() {
                prop_assert_eq!(check(row), Ok(()));
            }
        }
    }
}
