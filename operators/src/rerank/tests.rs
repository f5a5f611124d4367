//! The allocator as a whole: golden scripts that people can read, and what must hold for any candidates.

mod golden;
mod properties;
mod speed;
