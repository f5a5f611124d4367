use super::*;
use proptest::prelude::*;

const DIMS: usize = 16;

/// `n` vectors about `centres` directions, the same for the same seed.
fn clustered(n: usize, centres: u64, noise: u64, seed: u64) -> Vec<Vec<i8>> {
    let entry = |parts: &[u64], width: u64| (hash::mix(seed, parts) % (2 * width + 1)) as i64 - width as i64;
    (0..n as u64)
        .map(|i| {
            (0..DIMS as u64)
                .map(|d| (entry(&[0, i % centres, d], 90) + entry(&[1, i, d], noise)).clamp(-127, 127) as i8)
                .collect()
        })
        .collect()
}

fn rows(vectors: &[Vec<i8>]) -> Vec<&[i8]> {
    vectors.iter().map(Vec::as_slice).collect()
}

/// Sum of the cosines of all vectors with their centroid: what spherical k-means makes as large as it can.
fn fitness(vectors: &[Vec<i8>], centroids: &Centroids) -> f64 {
    vectors
        .iter()
        .map(|vector| {
            let row = centroids.rows().nth(centroids.nearest(vector).unwrap()).unwrap();
            let wide: Vec<i16> = vector.iter().map(|x| i16::from(*x)).collect();
            f64::from(dot(&wide, row))
                / (square(wide.iter().map(|x| i64::from(*x))) as f64).sqrt()
                / f64::from(NORM)
        })
        .sum()
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
fn a_centroid_that_loses_its_vectors_takes_a_misfit() {
    // Both centroids lie in the same heap: the second of equals gets nothing.
    let mut vectors = vec![vec![100i8; DIMS]; 50];
    let mut other = vec![-100i8; DIMS];
    other[0] = 100;
    vectors.push(other.clone());
    let points = Points::new(&rows(&vectors), DIMS);
    let all: Vec<u32> = (0..51).collect();
    let twice = [points.direction(0), points.direction(1)].concat();
    let centroids = finish(DIMS, lloyd(&points, &all, twice, 5));
    assert_ne!(centroids.nearest(&vectors[0]), centroids.nearest(&other));
    assert_eq!(fit(&rows(&vectors), DIMS, 10, 5, 1).len(), 2, "no more centroids than directions");
}

#[test]
fn nothing_to_fit_is_no_centroids() {
    assert!(fit(&[], DIMS, 4, 3, 1).is_empty());
    assert!(fit_nested(&[&[0; DIMS]], DIMS, 100, 3, 1).is_empty());
    assert_eq!(fit(&[&[1; DIMS], &[0; DIMS], &[1; 3]], DIMS, 4, 3, 1).len(), 1);
    assert_eq!(fit(&[], DIMS, 4, 3, 1).nearest(&[1; DIMS]), None);
}

#[test]
fn damaged_centroids_are_refused() {
    assert_eq!(Centroids::new(0, vec![]), Err(BadCentroids::Dims(0)));
    assert_eq!(Centroids::new(513, vec![]), Err(BadCentroids::Dims(513)));
    assert_eq!(Centroids::new(2, vec![1; 3]), Err(BadCentroids::Rows { dims: 2, entries: 3 }));
    assert_eq!(
        Centroids::new(2, vec![0, 0, 4096, 4096]),
        Err(BadCentroids::Norm { row: 1, square: 2 * 4096 * 4096 })
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
                let norm = (square(row.iter().map(|x| i64::from(*x))) as f64).sqrt();
                prop_assert!((norm - f64::from(NORM)).abs() < 12.0, "{}", norm);
            }
        }
    }
}
