//! The lists: FAISS's inverted file over directions known by slot number.
//!
//! FAISS adds f32s in an order that depends on the batch and on the processor. Directions, centroids and queries are whole
//! numbers, and each of their inner products and partial sums is below 2^24 (`learning::direction::NORM`), so every order gives
//! the same value. What is left to chance is which of equal scores are kept when not all can be: the caller asks for more and cuts.
//! Of equally near centroids FAISS takes the first, for one query as for many (tested).

use faiss::index::flat::FlatIndex;
use faiss::index::ivf_flat::IVFFlatIndex;
use faiss::selector::IdSelector;
use faiss::{ConcurrentIndex, Idx, Index, MetricType};
use freshet_learning::{Centroids, Direction};

use crate::Error;

/// Directions handed over at once.
pub(crate) const BATCH: usize = 4096;

/// The trained half of an index.
pub(crate) struct Lists {
    faiss: IVFFlatIndex,
}

/// What a query found: slots and scores, best first.
pub(crate) type Hits = Vec<(u32, i32)>;

fn cannot(action: &'static str) -> impl Fn(faiss::error::Error) -> Error {
    move |source| Error::Faiss { action, source }
}

impl Lists {
    /// Empty lists about `centroids`, at least one.
    pub(crate) fn new(centroids: &Centroids, nprobe: u32) -> Result<Self, Error> {
        let dims = centroids.dims() as u32;
        let cannot = cannot("make lists");
        let mut quantizer = FlatIndex::new_ip(dims).map_err(&cannot)?;
        let rows: Vec<f32> = centroids.entries().iter().map(|x| f32::from(*x)).collect();
        quantizer.add(&rows).map_err(&cannot)?;
        // A quantizer that holds its centroids needs no training: FAISS's own would not repeat on another machine.
        let mut faiss = IVFFlatIndex::new(quantizer, dims, centroids.len() as u32, MetricType::InnerProduct)
            .map_err(&cannot)?;
        faiss.set_nprobe(nprobe.min(centroids.len() as u32));
        Ok(Self { faiss })
    }

    /// Directions held.
    pub(crate) fn len(&self) -> usize {
        self.faiss.ntotal() as usize
    }

    /// Adds directions under slots that it does not hold.
    pub(crate) fn add<'a>(&mut self, added: impl Iterator<Item = (u32, &'a Direction)>) -> Result<(), Error> {
        let (mut rows, mut slots) = (Vec::new(), Vec::new());
        let mut added = added.peekable();
        while let Some((slot, direction)) = added.next() {
            rows.extend(direction.entries().iter().map(|x| f32::from(*x)));
            slots.push(Idx::new(u64::from(slot)));
            if slots.len() == BATCH || added.peek().is_none() {
                self.faiss.add_with_ids(&rows, &slots).map_err(cannot("add to the lists"))?;
                rows.clear();
                slots.clear();
            }
        }
        Ok(())
    }

    /// Removes slots; each call passes over all lists.
    pub(crate) fn remove(&mut self, slots: &[u32]) -> Result<(), Error> {
        let cannot = cannot("remove from the lists");
        let slots: Vec<Idx> = slots.iter().map(|slot| Idx::new(u64::from(*slot))).collect();
        let selector = IdSelector::batch(&slots).map_err(&cannot)?;
        self.faiss.remove_ids(&selector).map_err(&cannot)?;
        Ok(())
    }

    /// The best `ask` of each query; fewer where its lists hold no more.
    pub(crate) fn search(&self, queries: &[&[i8]], ask: usize) -> Result<Vec<Hits>, Error> {
        let rows: Vec<f32> = queries.iter().flat_map(|query| query.iter().map(|x| f32::from(*x))).collect();
        let found = ConcurrentIndex::search(&self.faiss, &rows, ask).map_err(cannot("search"))?;
        let hits = found.labels.chunks_exact(ask).zip(found.distances.chunks_exact(ask));
        Ok(hits
            .map(|(labels, scores)| {
                // Scores are whole and below 2^24.
                labels.iter().zip(scores).filter_map(|(l, s)| Some((l.get()? as u32, *s as i32))).collect()
            })
            .collect())
    }
}
