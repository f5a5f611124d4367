//! At most so many of a category among so many neighbours (seed 004, 10.3: 3; the window is ours). A video without a
//! category is counted nowhere.

use super::numbers::{NONE, Numbers};

/// The categories of the places before the next one.
pub(super) struct CategoryWindow {
    cap: usize,
    window: usize,
    numbers: Numbers,
    placed: Vec<u32>,
    counts: Vec<usize>,
}

impl CategoryWindow {
    pub(super) fn new(cap: usize, window: usize) -> Self {
        Self { cap, window, numbers: Numbers::default(), placed: Vec::new(), counts: Vec::new() }
    }

    /// The number that the other functions take for a category.
    pub(super) fn number(&mut self, category: u64) -> u32 {
        let number = self.numbers.of(category);
        if number != NONE && number as usize >= self.counts.len() {
            self.counts.push(0);
        }
        number
    }

    /// Whether the next place may go to the category.
    pub(super) fn fits(&self, number: u32) -> bool {
        number == NONE || self.counts[number as usize] < self.cap
    }

    /// Gives the next place to the category.
    pub(super) fn place(&mut self, number: u32) {
        self.placed.push(number);
        if number != NONE {
            self.counts[number as usize] += 1;
        }
        // The next place and the `window - 1` before it are neighbours.
        if let Some(gone) = self.placed.len().checked_sub(self.window).map(|at| self.placed[at])
            && gone != NONE
        {
            self.counts[gone as usize] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_has_its_share_of_any_window() {
        let mut window = CategoryWindow::new(2, 4);
        let (cats, dogs) = (window.number(11), window.number(22));
        let mut told = String::new();
        for _ in 0..12 {
            let number = if window.fits(cats) { cats } else { dogs };
            told.push(if number == cats { 'c' } else { 'd' });
            window.place(number);
        }
        assert_eq!(told, "ccddccddccdd");
        assert_eq!(window.number(11), cats);
    }

    #[test]
    fn the_unknown_category_and_a_window_of_one_have_no_bound() {
        let mut window = CategoryWindow::new(1, 10);
        let unknown = window.number(0);
        let mut single = CategoryWindow::new(1, 1);
        let number = single.number(5);
        for _ in 0..5 {
            assert!(window.fits(unknown) && single.fits(number));
            window.place(unknown);
            single.place(number);
        }
    }
}
