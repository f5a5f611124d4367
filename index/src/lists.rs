//! The lists: an inverted file over directions known by slot number. FAISS chooses the lists, the passes over them are ours.
//!
//! FAISS adds f32s in an order that depends on the batch and on the processor. Directions, centroids and queries are whole
//! numbers, and each of their inner products and partial sums is below 2^24 (`learning::direction::NORM`), so every order gives
//! the same value. Of equally near centroids FAISS takes the first, for one query as for many (tested).
//!
//! FAISS's own inverted file reads a query's lists once for that query alone. The queries of an epoch share most of their
//! lists: here each list is passed over once, for all that look through it, while it is in the cache, and in i16s instead of
//! f32s. docs/measured.md has what that makes of a list's time; a test compares with FAISS's.

use faiss::index::flat::FlatIndex;
use faiss::{ConcurrentIndex, Index};
use freshet_learning::{Centroids, Direction, direction};
use rustc_hash::FxHashMap;

use crate::Error;

/// Directions handed over at once.
pub(crate) const BATCH: usize = 4096;

/// The trained half of an index.
pub(crate) struct Lists {
    dims: usize,
    nprobe: usize,
    /// Holds the centroids; a list's number is its centroid's.
    quantizer: FlatIndex,
    lists: Vec<List>,
    /// Where each slot is: its list, and its row there.
    places: FxHashMap<u32, (u32, u32)>,
}

/// Directions about one centroid, in no order.
#[derive(Clone, Default)]
struct List {
    slots: Vec<u32>,
    /// The rows, one after the other.
    entries: Vec<i16>,
}

/// What a query found: scores and slots, in no order.
pub(crate) type Hits = Vec<(i32, u32)>;

fn cannot(action: &'static str) -> impl Fn(faiss::error::Error) -> Error {
    move |source| Error::Faiss { action, source }
}

fn row_of<T: Copy + Into<f32>>(entries: &[T]) -> impl Iterator<Item = f32> {
    entries.iter().map(|x| (*x).into())
}

impl Lists {
    /// Empty lists about `centroids`, at least one.
    pub(crate) fn new(centroids: &Centroids, nprobe: u32) -> Result<Self, Error> {
        let cannot = cannot("make lists");
        let mut quantizer = FlatIndex::new_ip(centroids.dims() as u32).map_err(&cannot)?;
        quantizer.add(&row_of(centroids.entries()).collect::<Vec<f32>>()).map_err(&cannot)?;
        Ok(Self {
            dims: centroids.dims(),
            nprobe: (nprobe as usize).min(centroids.len()),
            quantizer,
            lists: vec![List::default(); centroids.len()],
            places: FxHashMap::default(),
        })
    }

    /// The `count` lists nearest to each row, nearest first.
    fn nearest(&self, rows: &[f32], count: usize, action: &'static str) -> Result<Vec<u32>, Error> {
        let found = ConcurrentIndex::assign(&self.quantizer, rows, count).map_err(cannot(action))?;
        let list =
            |label: &faiss::Idx| label.get().expect("no more lists are asked for than there are") as u32;
        Ok(found.labels.iter().map(list).collect())
    }

    /// Adds directions under slots that it does not hold.
    pub(crate) fn add<'a>(&mut self, added: impl Iterator<Item = (u32, &'a Direction)>) -> Result<(), Error> {
        let mut rows = Vec::new();
        let mut batch = Vec::new();
        let mut added = added.peekable();
        while let Some((slot, direction)) = added.next() {
            rows.extend(row_of(direction.entries()));
            batch.push((slot, direction));
            if batch.len() == BATCH || added.peek().is_none() {
                let nearest = self.nearest(&rows, 1, "add to the lists")?;
                for ((slot, direction), list) in batch.drain(..).zip(nearest) {
                    let held = &mut self.lists[list as usize];
                    self.places.insert(slot, (list, held.slots.len() as u32));
                    held.slots.push(slot);
                    held.entries.extend_from_slice(direction.entries());
                }
                rows.clear();
            }
        }
        Ok(())
    }

    /// Removes a slot, where it is held.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some((list, row)) = self.places.remove(&slot) else { return };
        let held = &mut self.lists[list as usize];
        held.slots.swap_remove(row as usize);
        let last = held.entries.len() - self.dims;
        held.entries.copy_within(last.., row as usize * self.dims);
        held.entries.truncate(last);
        if let Some(moved) = held.slots.get(row as usize) {
            self.places.insert(*moved, (list, row));
        }
    }

    /// The best `k` of each query, at least 1, and all that are tied with the last of them; fewer where its lists hold no more.
    pub(crate) fn search(&self, queries: &[&[i8]], k: usize) -> Result<Vec<Hits>, Error> {
        let rows: Vec<f32> = queries.iter().flat_map(|query| row_of(query)).collect();
        let nearest = self.nearest(&rows, self.nprobe, "search")?;
        let mut visits: Vec<(u32, u32)> = nearest
            .chunks_exact(self.nprobe)
            .zip(0..)
            .flat_map(|(lists, query)| lists.iter().map(move |list| (*list, query)))
            .collect();
        visits.sort_unstable();
        let wide: Vec<i16> = queries.iter().flat_map(|query| query.iter().map(|x| i16::from(*x))).collect();
        let mut best = vec![Best::new(k); queries.len()];
        for (list, query) in visits {
            let (list, query) = (&self.lists[list as usize], query as usize);
            let (row, best) = (&wide[query * self.dims..][..self.dims], &mut best[query]);
            for (entries, slot) in list.entries.chunks_exact(self.dims).zip(&list.slots) {
                best.offer(direction::dot(row, entries), *slot);
            }
        }
        Ok(best.into_iter().map(Best::into_hits).collect())
    }
}

/// The best `k` scores with their slots, and what is tied with the least of them.
#[derive(Clone)]
struct Best {
    k: usize,
    /// Lower scores are not among the best.
    least: i32,
    hits: Hits,
    /// So many are gathered before the best of them are chosen.
    room: usize,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, least: i32::MIN, hits: Vec::new(), room: k.saturating_mul(2) }
    }

    fn offer(&mut self, score: i32, slot: u32) {
        if score < self.least {
            return;
        }
        self.hits.push((score, slot));
        if self.hits.len() >= self.room {
            self.choose();
            // With a heap of ties little goes: so that it is not gone through at each offer.
            self.room = self.k.max(self.hits.len()).saturating_mul(2);
        }
    }

    fn choose(&mut self) {
        if self.hits.len() > self.k {
            let (_, last, _) = self.hits.select_nth_unstable_by(self.k - 1, |a, b| b.0.cmp(&a.0));
            self.least = last.0;
            let least = self.least;
            self.hits.retain(|(score, _)| *score >= least);
        }
    }

    fn into_hits(mut self) -> Hits {
        self.choose();
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faiss::index::ivf_flat::IVFFlatIndex;
    use faiss::{Idx, MetricType};
    use freshet_schema::hash;

    const DIMS: usize = 16;

    fn vectors(n: u64, seed: u64) -> Vec<Vec<i8>> {
        let entry = |id: u64, d: usize| (hash::mix(seed, &[id, d as u64]) % 200) as i8;
        (0..n).map(|id| (0..DIMS).map(|d| entry(id, d)).collect()).collect()
    }

    /// The same centroids, additions and removals in FAISS's inverted file: the same lists are looked through, with the same scores.
    #[test]
    fn what_faiss_finds() {
        let directions: Vec<Direction> = vectors(2_000, 1).iter().filter_map(|v| Direction::of(v)).collect();
        let centroids = directions.iter().step_by(50).flat_map(|d| d.entries().to_vec()).collect();
        let centroids = Centroids::new(DIMS, centroids).unwrap();
        let nprobe = 5;
        let mut ours = Lists::new(&centroids, nprobe).unwrap();
        ours.add((0..).zip(&directions)).unwrap();
        let mut quantizer = FlatIndex::new_ip(DIMS as u32).unwrap();
        quantizer.add(&row_of(centroids.entries()).collect::<Vec<f32>>()).unwrap();
        let mut theirs =
            IVFFlatIndex::new(quantizer, DIMS as u32, centroids.len() as u32, MetricType::InnerProduct)
                .unwrap();
        theirs.set_nprobe(nprobe);
        let kept = |slot: &u32| !slot.is_multiple_of(3);
        for (slot, direction) in (0..).zip(&directions) {
            if kept(&slot) {
                let row: Vec<f32> = row_of(direction.entries()).collect();
                theirs.add_with_ids(&row, &[Idx::new(slot.into())]).unwrap();
            } else {
                ours.remove(slot);
            }
        }
        let (queries, k) = (vectors(60, 2), 30);
        let rows: Vec<&[i8]> = queries.iter().map(Vec::as_slice).collect();
        let found = ours.search(&rows, k).unwrap();
        let flat: Vec<f32> = rows.iter().flat_map(|query| row_of(query)).collect();
        let expected = ConcurrentIndex::search(&theirs, &flat, k).unwrap();
        for (mut found, expected) in found.into_iter().zip(expected.distances.chunks_exact(k)) {
            assert!(found.iter().all(|(_, slot)| kept(slot)));
            found.sort_unstable_by(|a, b| b.cmp(a));
            let scores: Vec<i32> = found[..k].iter().map(|(score, _)| *score).collect();
            assert_eq!(scores, expected.iter().map(|score| *score as i32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_best_and_what_is_tied_with_the_last() {
        for turn in 0..7 {
            let mut best = Best::new(3);
            let scores = [5, 9, 2, 5, 5, 7, 1];
            (0..7).for_each(|i| best.offer(scores[(i + turn) % 7], ((i + turn) % 7) as u32));
            let mut hits = best.into_hits();
            hits.sort_unstable();
            assert_eq!(hits, [(5, 0), (5, 3), (5, 4), (7, 5), (9, 1)]);
        }
    }
}
