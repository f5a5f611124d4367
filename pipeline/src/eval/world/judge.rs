//! What lists are worth, from the truth of the world.
//!
//! A place's value is how well its video suits the user at that time ([`freshet_sources::generate::Known`]); a video that
//! the user has watched or that cannot be shown is worth nothing. The best list holds the best of all videos that can be shown
//! and were not watched. Values are whole numbers in per mille.

use freshet_schema::{UserId, VideoId};
use freshet_sources::generate::Known;

use super::walk::{Question, TOP, Walked};

/// Favourite categories that count as a user's top ones. They have 80 % of the attention, where they differ.
pub const TOP_CATEGORIES: usize = 3;
/// The lengths at which the regret is taken.
pub const CUTS: [usize; 2] = [10, TOP];

/// What a list is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Candidates by score.
    Off,
    /// The list as it would be stored.
    On,
    /// Videos drawn from all that there are, on average.
    Random,
    /// The best there is.
    Best,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 4] = [Self::Off, Self::On, Self::Random, Self::Best];

    /// As in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ["off", "on", "random", "best"][self as usize]
    }
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Whose list.
    pub user: UserId,
    /// The user's interactions so far.
    pub age: u64,
    /// By kind and cut: what is missing to the best list, from 0 to 1.
    pub regret: [[f64; CUTS.len()]; Kind::ALL.len()],
    /// By kind: share of the first [`TOP`] places with a video of the user's top categories.
    pub categories: [f64; Kind::ALL.len()],
}

/// Judges all answers. A question at which there is nothing to show is left out.
pub fn judge(walked: &Walked, truth: &Known, progress: &mut dyn FnMut(u64)) -> Vec<Judged> {
    let mut judged = Vec::with_capacity(walked.questions.len());
    for (done, (question, lists)) in walked.questions.iter().enumerate() {
        judged.extend(one(question, lists, walked, truth));
        if done.is_multiple_of(64) {
            progress(done as u64);
        }
    }
    judged
}

fn one(question: &Question, lists: &[Vec<VideoId>; 2], walked: &Walked, truth: &Known) -> Option<Judged> {
    let taste = truth.taste(question.user, question.time)?;
    let is_new = |video: &VideoId| {
        walked.watched.get(&(question.user, *video)).is_none_or(|first| *first >= question.moment)
    };
    let favourites = taste.favourites();
    let top = &favourites[..favourites.len().min(TOP_CATEGORIES)];
    let is_top = |video: VideoId| truth.category(video).is_some_and(|category| top.contains(&category));
    let place = |video: VideoId, value: u64| Place { value, top: is_top(video) };

    let mut all: Vec<Place> =
        taste.values().filter(|(video, _)| is_new(video)).map(|(video, value)| place(video, value)).collect();
    // Of equal value those of other categories first, so that the best list is not flattered.
    let key = |place: &Place| (std::cmp::Reverse(place.value), place.top);
    let mean = mean(&all)?;
    if all.len() > TOP {
        all.select_nth_unstable_by_key(TOP - 1, key);
        all.truncate(TOP);
    }
    all.sort_unstable_by_key(key);
    let worth = |list: &[VideoId]| -> Vec<Place> {
        let value = |video: &VideoId| {
            let value = taste.value(*video).filter(|_| is_new(video)).unwrap_or(0);
            place(*video, value)
        };
        list.iter().map(value).collect()
    };
    let [off, on] = lists.each_ref().map(|list| worth(list));
    Some(Judged {
        user: question.user,
        age: question.age,
        regret: [
            CUTS.map(|cut| regret(&off, &all, cut)),
            CUTS.map(|cut| regret(&on, &all, cut)),
            CUTS.map(|cut| 1.0 - mean.0 * all.len().min(cut) as f64 / sum(&all, cut).max(1) as f64),
            [0.0; CUTS.len()],
        ],
        categories: [share(&off, all.len()), share(&on, all.len()), mean.1, share(&all, all.len())],
    })
}

/// A place of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    value: u64,
    /// Of a top category.
    top: bool,
}

fn sum(places: &[Place], cut: usize) -> u64 {
    places.iter().take(cut).map(|place| place.value).sum()
}

/// `1 - value of the list / value of the best`, of the first `cut` places. A place that a short list does not have is worth
/// nothing.
fn regret(list: &[Place], best: &[Place], cut: usize) -> f64 {
    1.0 - sum(list, cut) as f64 / sum(best, cut).max(1) as f64
}

/// Share of a top category, of as many places as could be filled.
fn share(list: &[Place], places: usize) -> f64 {
    list.iter().take(TOP).filter(|place| place.top).count() as f64 / places.clamp(1, TOP) as f64
}

/// Mean value and share of the top categories; `None` of nothing.
fn mean(places: &[Place]) -> Option<(f64, f64)> {
    let n = places.len() as f64;
    let top = places.iter().filter(|place| place.top).count() as f64;
    (n > 0.0).then(|| (sum(places, places.len()) as f64 / n, top / n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::Event;
    use freshet_sources::generate::{World, known};

    #[test]
    fn regret_by_hand() {
        let places = |values: &[u64]| {
            values.iter().map(|value| Place { value: *value, top: *value > 500 }).collect::<Vec<_>>()
        };
        let best = places(&[900, 800, 600, 500]);
        assert_eq!(regret(&best, &best, 10), 0.0);
        assert_eq!(regret(&places(&[800, 600]), &best, 2), 1.0 - 1_400.0 / 1_700.0);
        assert_eq!(regret(&places(&[700]), &best, 10), 0.75, "a short list has nothing on its other places");
        assert_eq!(regret(&[], &best, 10), 1.0);
        assert_eq!((share(&best, 4), share(&places(&[900]), 4), share(&[], 0)), (0.75, 0.25, 0.0));
        assert_eq!((mean(&best), mean(&[])), (Some((700.0, 0.75)), None));
    }

    /// A question about the first user who watches, with the lists that `of` makes of the values of all videos.
    fn judged(of: impl Fn(&mut Vec<(VideoId, u64)>)) -> Judged {
        let mut first = None;
        let world = World { days: 2, ..World::new(10, 300, 200, 3) };
        let mut sink = |event: &Event| {
            if let (Event::Interaction(view), None) = (event, &first) {
                first = Some((view.user_id, view.event_time));
            }
        };
        let truth = known(&world, &mut sink, &mut |_, _| {}).expect("good arguments");
        let (user, time) = first.expect("somebody watches");
        let taste = truth.taste(user, time).expect("of this world");
        let mut values: Vec<(VideoId, u64)> = taste.values().collect();
        // The best of all was watched before, the second best will be.
        values.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
        let watched = [((user, values[0].0), 4), ((user, values[1].0), 5)].into_iter().collect();
        of(&mut values);
        let list: Vec<VideoId> = values.into_iter().map(|(video, _)| video).take(TOP).collect();
        let question = Question { user, time, age: 1, moment: 5 };
        let walked = Walked {
            questions: vec![(question, [list.clone(), list[..5].to_vec()])],
            watched,
            ..Walked::default()
        };
        judge(&walked, &truth, &mut |_| {})[0]
    }

    #[test]
    fn the_best_list_has_no_regret_and_what_was_watched_is_worth_nothing() {
        let best = judged(|values| {
            values.remove(0);
        });
        assert_eq!(best.regret[Kind::Off as usize], [0.0, 0.0]);
        // Five good places of ten and of twenty; the first are the best ones.
        let five = best.regret[Kind::On as usize];
        assert!(five[0] > 0.3 && five[0] < 0.5 && five[1] > 0.6 && five[1] < 0.75, "{five:?}");
        let random = best.regret[Kind::Random as usize];
        assert!(random[0] > random[1] && random[1] > 0.2 && random[0] < 0.9, "{random:?}");
        assert_eq!(best.regret[Kind::Best as usize], [0.0, 0.0]);
        let watched = judged(|_| {});
        let lost = watched.regret[Kind::Off as usize];
        assert!(lost[0] > 0.07 && lost[0] < 0.1 && lost[1] < lost[0], "one place of ten: {lost:?}");
        let worst = judged(|values| values.reverse());
        assert!(worst.regret[Kind::Off as usize][0] > random[0], "{worst:?}");
        assert!(worst.categories[Kind::Off as usize] < best.categories[Kind::Best as usize]);
    }
}
