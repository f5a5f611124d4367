//! Distinct directions, by slot, and the videos that have each.
//!
//! Where content says little (a category and nothing else) thousands of videos have one and the same direction. A search that
//! met each of them would return nothing but ties, and lists would be of one direction. So it is held once.

use freshet_learning::Direction;
use freshet_schema::VideoId;
use rustc_hash::FxHashMap;

/// One distinct direction.
pub(crate) struct Group {
    pub(crate) direction: Direction,
    /// Who has it, ascending. A fresh group whose last video went stays until the next search.
    pub(crate) ids: Vec<VideoId>,
    /// Whether the lists hold its slot.
    pub(crate) listed: bool,
}

/// All directions.
#[derive(Default)]
pub(crate) struct Groups {
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    by_direction: FxHashMap<Direction, u32>,
    by_id: FxHashMap<VideoId, u32>,
    /// Groups that have a video.
    live: usize,
}

impl Groups {
    /// Videos held.
    pub(crate) fn videos(&self) -> usize {
        self.by_id.len()
    }

    /// Distinct directions that a video has.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn slot_of(&self, id: VideoId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Group> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Group> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Every group by slot, also those without a video.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        (0..).zip(&self.slots).filter_map(|(slot, group)| Some((slot, group.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.slots.iter_mut().flatten()
    }

    /// Every video with its direction, by id.
    pub(crate) fn by_id(&self) -> Vec<(VideoId, Direction)> {
        let of =
            |group: &Group| -> Vec<_> { group.ids.iter().map(|id| (*id, group.direction.clone())).collect() };
        let mut all: Vec<_> = self.iter().flat_map(|(_, group)| of(group)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Gives `direction` to a video that has none. Says its slot, and whether the slot is a new one.
    pub(crate) fn insert(&mut self, id: VideoId, direction: Direction) -> (u32, bool) {
        let known = self.by_direction.get(&direction).copied();
        let slot = known.unwrap_or_else(|| self.make(direction));
        let group = self.slots[slot as usize].as_mut().expect("a direction's slot has its group");
        if group.ids.is_empty() {
            self.live += 1;
        }
        if let Err(place) = group.ids.binary_search(&id) {
            group.ids.insert(place, id);
        }
        self.by_id.insert(id, slot);
        (slot, known.is_none())
    }

    fn make(&mut self, direction: Direction) -> u32 {
        let group = Group { direction: direction.clone(), ids: Vec::new(), listed: false };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("memory ends before 2^32 directions do")
        });
        self.slots[slot as usize] = Some(group);
        self.by_direction.insert(direction, slot);
        slot
    }

    /// Takes a video out. Says its slot where it was the group's last; the group stays.
    pub(crate) fn remove(&mut self, id: VideoId) -> Option<u32> {
        let slot = self.by_id.remove(&id)?;
        let group = self.slots[slot as usize].as_mut().expect("a video's slot has its group");
        if let Ok(place) = group.ids.binary_search(&id) {
            group.ids.remove(place);
        }
        if !group.ids.is_empty() {
            return None;
        }
        self.live -= 1;
        Some(slot)
    }

    /// Frees the slot of a group without a video.
    pub(crate) fn release(&mut self, slot: u32) {
        if let Some(group) = self.slots[slot as usize].take() {
            self.by_direction.remove(&group.direction);
            self.free.push(slot);
        }
    }
}
