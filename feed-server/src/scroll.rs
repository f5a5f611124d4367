//! The next page of a scroll: a pure function of the lists as they are now and of the cursor.
//!
//! Lists are rewritten while somebody scrolls, so a rank means nothing from one page to the next. Each page therefore
//! reads both lists from the top and skips what the cursor remembers: what has become better meanwhile comes next, and
//! nothing comes twice. After the user's list, trending goes on, without what the user is known to have watched.
//!
//! The memory is bounded. Once a chain is longer than it, reading from the top would hand out forgotten items again and
//! never end. From then on the floors hold: each list is read from the rank that the last page reached, which only grows,
//! so every chain ends. Over lists that stay as they are nothing repeats even then; over rewritten ones an item can come
//! again after as many others as the memory holds, never earlier.

use std::collections::HashSet;

use freshet_schema::VideoId;
use freshet_schema::feed::{FeedItem, TrendingItem};

use crate::cursor::{Cursor, fingerprint};

/// Where an item of a page comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The list that was read (the user's own or a new-user list).
    Listed(FeedItem),
    /// Trending, after the list.
    Trending(TrendingItem),
}

impl Entry {
    /// The video.
    #[must_use]
    pub fn video(&self) -> VideoId {
        match self {
            Self::Listed(item) => VideoId(item.video_id),
            Self::Trending(item) => VideoId(item.video_id),
        }
    }
}

/// What goes on where the list ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    /// Trending, best first.
    pub trending: Vec<TrendingItem>,
    /// Videos that are left out of it.
    pub watched: Vec<VideoId>,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<C> {
    /// Place of the first item along the chain, from 0.
    pub first_position: u64,
    /// The items with what `show` said of each.
    pub items: Vec<(Entry, C)>,
    /// Where to go on; `None` when all is exhausted.
    pub next: Option<Cursor>,
}

/// Composes the page after `cursor`, of up to `limit` items. `tail` is asked only when the list is used up; `show`
/// says whether a video may be shown, and with what (`None` leaves it out). `memory` is how many identifiers the next
/// cursor remembers.
///
/// # Errors
/// Those of `tail` and `show`.
pub fn next_page<C, E>(
    cursor: &Cursor,
    list: &[FeedItem],
    tail: impl FnOnce() -> Result<Tail, E>,
    mut show: impl FnMut(VideoId) -> Result<Option<C>, E>,
    limit: usize,
    memory: usize,
) -> Result<Page<C>, E> {
    let forgotten = cursor.has_forgotten();
    let floor = |floor: u64| if forgotten { usize::try_from(floor).unwrap_or(usize::MAX) } else { 0 };
    let (list_start, trending_start) = (floor(cursor.list_floor), floor(cursor.trending_floor));
    let mut reader =
        Reader { seen: cursor.memory.iter().copied().collect(), items: Vec::new(), limit, show: &mut show };
    let mut next = Cursor { handed_out: cursor.handed_out, ..cursor.clone() };

    let (mut reached, mut more) = reader.read(list.iter().cloned().map(Entry::Listed), list_start)?;
    next.list_floor = reached as u64;
    if !more {
        if forgotten {
            // What the list handed out early is forgotten by now, and trending may hold it too.
            reader.seen.extend(list.iter().take(list_start).map(|item| fingerprint(VideoId(item.video_id))));
        }
        let Tail { trending, watched } = tail()?;
        reader.seen.extend(watched.into_iter().map(fingerprint));
        (reached, more) = reader.read(trending.into_iter().map(Entry::Trending), trending_start)?;
        next.trending_floor = reached as u64;
    }

    let items = reader.items;
    next.handed_out += items.len() as u64;
    next.memory.extend(items.iter().map(|(entry, _)| fingerprint(entry.video())));
    next.memory.drain(..next.memory.len().saturating_sub(memory));
    Ok(Page { first_position: cursor.handed_out, items, next: more.then_some(next) })
}

/// Fills a page from one list after the other.
struct Reader<'a, C, F> {
    seen: HashSet<u64>,
    items: Vec<(Entry, C)>,
    limit: usize,
    show: &'a mut F,
}

impl<C, F> Reader<'_, C, F> {
    /// Reads on from rank `start`; returns the rank behind the last item taken or passed over, and whether something that
    /// could be shown is left.
    fn read<E>(&mut self, entries: impl Iterator<Item = Entry>, start: usize) -> Result<(usize, bool), E>
    where
        F: FnMut(VideoId) -> Result<Option<C>, E>,
    {
        let mut reached = start;
        for (rank, entry) in entries.enumerate().skip(start) {
            let print = fingerprint(entry.video());
            if !self.seen.contains(&print)
                && let Some(shown) = (self.show)(entry.video())?
            {
                if self.items.len() == self.limit {
                    return Ok((reached, true));
                }
                self.seen.insert(print);
                self.items.push((entry, shown));
            }
            reached = rank + 1;
        }
        Ok((reached, false))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn list(ids: &[u64]) -> Vec<FeedItem> {
        ids.iter().map(|id| FeedItem { video_id: *id, ..FeedItem::default() }).collect()
    }

    fn pool(ids: &[u64]) -> Vec<TrendingItem> {
        ids.iter().map(|id| TrendingItem { video_id: *id, score: 0.0 }).collect()
    }

    /// Scrolls to the end over lists that may change from page to page; ids that are a multiple of 13 are not ready, those of 11 were watched.
    fn scroll(lists: &[(Vec<u64>, Vec<u64>)], limit: usize, memory: usize) -> (Vec<u64>, bool) {
        let mut cursor = Cursor::default();
        let mut handed_out = Vec::new();
        for turn in 0..500 {
            let (own, trending) = &lists[turn % lists.len()];
            let show = |video: VideoId| Ok::<_, Infallible>((!video.0.is_multiple_of(13)).then_some(()));
            let watched = trending.iter().filter(|id| id.is_multiple_of(11)).map(|id| VideoId(*id)).collect();
            let tail = || Ok(Tail { trending: pool(trending), watched });
            let page = next_page(&cursor, &list(own), tail, show, limit, memory).unwrap();
            assert_eq!(page.first_position, handed_out.len() as u64);
            handed_out.extend(page.items.iter().map(|(entry, ())| entry.video().0));
            match page.next {
                Some(next) => {
                    assert_eq!(page.items.len(), limit, "a page is short only at the end");
                    cursor = Cursor::decode(&next.encode(Default::default()), Default::default()).unwrap();
                }
                None => return (handed_out, true),
            }
        }
        (handed_out, false)
    }

    fn ids() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(1u64..80, 0..40)
    }

    proptest! {
        /// Nothing comes twice within the memory, and every chain ends, however the lists are rewritten.
        #[test]
        fn no_repeats_within_the_memory_and_an_end(
            lists in prop::collection::vec((ids(), ids()), 1..6), limit in 1usize..12, memory in 1usize..100,
        ) {
            let (handed_out, ended) = scroll(&lists, limit, memory);
            prop_assert!(ended);
            for (at, id) in handed_out.iter().enumerate() {
                let recent = &handed_out[at.saturating_sub(memory)..at];
                prop_assert!(!recent.contains(id), "{id} again at {at}: {handed_out:?}");
            }
        }

        /// Over lists that stay, a chain hands out everything exactly once, list first, whatever the memory.
        #[test]
        fn unchanged_lists_are_handed_out_once_and_whole(own in ids(), trending in ids(), limit in 1usize..12, memory in 1usize..100) {
            let mut expected: Vec<u64> = Vec::new();
            let unwatched = trending.iter().filter(|id| !id.is_multiple_of(11));
            for id in own.iter().chain(unwatched) {
                if !id.is_multiple_of(13) && !expected.contains(id) {
                    expected.push(*id);
                }
            }
            let unique = |ids: &[u64]| ids.iter().enumerate().all(|(at, id)| !ids[..at].contains(id));
            prop_assume!(unique(&own) && unique(&trending) || memory > 80);
            prop_assert_eq!(scroll(&[(own, trending)], limit, memory), (expected, true));
        }
    }

    #[test]
    fn what_a_rewritten_list_put_on_top_comes_next() {
        let first = (vec![1, 2, 3, 4], vec![]);
        let then = (vec![9, 1, 3, 2], vec![8]);
        assert_eq!(scroll(&[first, then.clone(), then], 2, 500), (vec![1, 2, 9, 3, 8], true));
    }

    #[test]
    fn an_empty_store_is_an_empty_page() {
        assert_eq!(scroll(&[(vec![], vec![])], 10, 500), (vec![], true));
    }
}
