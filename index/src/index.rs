//! The index: directions, and lists about the current version's centroids. How they are kept; `search` looks things up.

use freshet_learning::Direction;
use freshet_schema::VideoId;
use serde::{Deserialize, Serialize};

use crate::groups::Groups;
use crate::lists::Lists;
use crate::{Error, Params, Version};

mod search;

pub use search::Recall;

/// A repeatable index over the directions of videos' vectors; the crate's head says what that means and how to use it.
pub struct VectorIndex {
    params: Params,
    version: Version,
    groups: Groups,
    /// None where the version has no centroids.
    lists: Option<Lists>,
    /// Slots not yet in the lists: they are handed over in one batch, at the next search.
    fresh: Vec<u32>,
}

/// Everything an index is made of, by video id. It says nothing of the order in which it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The current version.
    pub version: Version,
    /// Each video with its direction, ids ascending.
    pub videos: Vec<(VideoId, Direction)>,
}

impl std::fmt::Debug for VectorIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VectorIndex")
            .field("params", &self.params)
            .field("version", &self.version.number)
            .field("videos", &self.len())
            .finish_non_exhaustive()
    }
}

impl VectorIndex {
    /// An empty index.
    ///
    /// # Errors
    /// A parameter out of its range.
    pub fn new(params: Params) -> Result<Self, Error> {
        params.check()?;
        Ok(Self {
            params,
            version: Version::first(),
            groups: Groups::default(),
            lists: None,
            fresh: Vec::new(),
        })
    }

    /// The index that `snapshot` was taken of: it answers alike. `params` may differ in all but `dims`.
    ///
    /// # Errors
    /// A parameter out of its range, a direction or version of other dimensions, a video twice, FAISS.
    pub fn restore(params: Params, snapshot: Snapshot) -> Result<Self, Error> {
        let mut index = Self::new(params)?;
        for (id, direction) in snapshot.videos {
            if index.groups.slot_of(id).is_some() {
                return Err(Error::Twice { video: id });
            }
            index.check_video(id, direction.entries().len())?;
            index.insert(id, direction);
        }
        index.adopt(snapshot.version)?;
        Ok(index)
    }

    /// What the index is made of.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { version: self.version.clone(), videos: self.groups.by_id() }
    }

    /// What it was made with.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The current version: with the videos' vectors, all there is to keep.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Videos held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.videos()
    }

    /// Whether it holds no video.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Distinct directions held: what the training rule counts.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.groups.live()
    }

    /// The direction of a video, where it is held.
    #[must_use]
    pub fn direction(&self, id: VideoId) -> Option<&Direction> {
        self.groups.get(self.groups.slot_of(id)?).map(|group| &group.direction)
    }

    /// Gives a video this vector in place of any before. The zero vector is similar to nothing: a video that has it is
    /// not held.
    ///
    /// # Errors
    /// A vector that has not `dims` entries.
    pub fn upsert(&mut self, id: VideoId, vector: &[i8]) -> Result<(), Error> {
        self.check_video(id, vector.len())?;
        match Direction::of(vector) {
            Some(direction) if self.direction(id) == Some(&direction) => {}
            Some(direction) => {
                self.remove(id);
                self.insert(id, direction);
            }
            None => drop(self.remove(id)),
        }
        Ok(())
    }

    /// For a video that is not held.
    fn insert(&mut self, id: VideoId, direction: Direction) {
        let (slot, new) = self.groups.insert(id, direction);
        if new && self.lists.is_some() {
            self.fresh.push(slot);
        }
    }

    /// Takes a video out; says whether it was in.
    pub fn remove(&mut self, id: VideoId) -> bool {
        let held = self.groups.slot_of(id).is_some();
        if let Some(slot) = self.groups.remove(id) {
            match &mut self.lists {
                None => self.groups.release(slot),
                Some(lists) if self.groups.get(slot).is_some_and(|group| group.listed) => {
                    lists.remove(slot);
                    self.groups.release(slot);
                }
                // It is fresh, and `settle` meets it.
                Some(_) => {}
            }
        }
        held
    }

    /// Trains where the rule says so, and returns the new version: without lists, from `train_at` distinct directions on; with
    /// lists, when there are twice as many as at the last training, or a quarter of them. Fewer than `train_at` are
    /// compared without lists again. It depends on what is held and on the current version alone; the caller chooses when to
    /// ask, and asks at the same epoch in a replay.
    ///
    /// # Errors
    /// FAISS.
    pub fn maintain(&mut self) -> Result<Option<Version>, Error> {
        if !self.version.is_due(self.groups.live(), &self.params) {
            return Ok(None);
        }
        let points = self
            .groups
            .iter()
            .filter_map(|(_, group)| Some((*group.ids.first()?, &group.direction)))
            .collect();
        let next = self.version.next(points, &self.params);
        self.adopt(next)?;
        Ok(Some(self.version.clone()))
    }

    /// Makes `version` the current one and the lists anew about its centroids.
    ///
    /// # Errors
    /// Centroids of other dimensions, FAISS. The index is as before.
    pub fn adopt(&mut self, version: Version) -> Result<(), Error> {
        let mut lists = None;
        if let Some(centroids) = version.centroids.as_ref().filter(|centroids| !centroids.is_empty()) {
            let (number, found, dims) = (version.number, centroids.dims(), self.params.dims);
            if found != dims {
                return Err(Error::Version { number, found, dims });
            }
            let lists = lists.insert(Lists::new(centroids, self.params.nprobe)?);
            lists.add(
                self.groups.iter().filter(|(_, g)| !g.ids.is_empty()).map(|(slot, g)| (slot, &g.direction)),
            )?;
        }
        let empty: Vec<u32> =
            self.groups.iter().filter(|(_, group)| group.ids.is_empty()).map(|(slot, _)| slot).collect();
        empty.into_iter().for_each(|slot| self.groups.release(slot));
        self.groups.iter_mut().for_each(|group| group.listed = lists.is_some());
        self.fresh.clear();
        self.lists = lists;
        self.version = version;
        Ok(())
    }

    fn check_video(&self, video: VideoId, found: usize) -> Result<(), Error> {
        let dims = self.params.dims;
        if found == dims { Ok(()) } else { Err(Error::Length { video, found, dims }) }
    }

    /// Brings the lists up to date: fresh groups go in, in one batch.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(lists) = &mut self.lists else { return Ok(()) };
        for slot in std::mem::take(&mut self.fresh) {
            // What came and went since the last search never gets into the lists.
            if self.groups.get(slot).is_some_and(|group| group.ids.is_empty()) {
                self.groups.release(slot);
            } else {
                self.fresh.push(slot);
            }
        }
        let groups = &self.groups;
        lists.add(self.fresh.iter().filter_map(|slot| Some((*slot, &groups.get(*slot)?.direction))))?;
        for slot in self.fresh.drain(..) {
            if let Some(group) = self.groups.get_mut(slot) {
                group.listed = true;
            }
        }
        Ok(())
    }
}
