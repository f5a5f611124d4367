//! What an index is told when it is made.

use freshet_learning::LONG_DIMS;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Settings of a [`VectorIndex`](crate::VectorIndex). All but `nprobe` take effect at the next training; `dims` cannot change
/// for an index that holds videos.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Entries of a vector, 1 to 512. Callers give the first so many of a [`Quantised`](freshet_learning::Quantised).
    pub dims: usize,
    /// Lists that a query looks through, 1 to 65,536; more than there are means all, and then the search is exact. More find
    /// more and take longer.
    pub nprobe: u32,
    /// Distinct directions from which on there are lists, 16 to 1,048,576. With fewer, all are compared: exact, and quicker.
    pub train_at: usize,
    /// Directions that a training looks at, at most: 256 to 262,144. Its time grows with them.
    pub sample: usize,
    /// Iterations of a training, at most: 1 to 100.
    pub iterations: u32,
    /// What sample and centroids are drawn by.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { dims: 128, nprobe: 32, train_at: 4096, sample: 65_536, iterations: 8, seed: 0x1dec }
    }
}

impl Params {
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let ranges = [
            ("dims", self.dims as u64, 1, LONG_DIMS as u64),
            ("nprobe", u64::from(self.nprobe), 1, 65_536),
            ("train_at", self.train_at as u64, 16, 1 << 20),
            ("sample", self.sample as u64, 256, 1 << 18),
            ("iterations", u64::from(self.iterations), 1, 100),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Error::Param { key, value, least, most });
            }
        }
        Ok(())
    }
}
