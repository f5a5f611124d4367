//! Draws by seeded hash: among some videos the one with the least hash is taken. Each has the same chance, the choice does
//! not depend on the order in which they are looked at, and whoever knows the list's subject and clock can repeat it.

use freshet_schema::hash;

use super::Context;

/// The draws of one list.
#[derive(Clone, Copy)]
pub struct Draws(u64);

impl Draws {
    /// Those of the list that `context` describes.
    #[must_use]
    pub fn new(seed: u64, context: &Context<'_>) -> Self {
        Self(hash::mix(seed, &[context.kind as u64, context.subject, context.now]))
    }

    /// The lot of a video (or of another number) at a place, counted from 1: the least wins.
    #[must_use]
    pub fn lot(self, place: usize, video: u64) -> u64 {
        hash::mix(self.0, &[place as u64, video])
    }
}
