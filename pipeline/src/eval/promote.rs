//! New videos promoted by how many follow their creators, as it is usual elsewhere: to hold cohorts against.
//!
//! The graph knows nothing of it, as it never reads a follower count. The feed server of the simulation gives a share of the places of
//! each page away: to one of the videos of the last day, drawn in proportion to the followers of its creator and one more, so that
//! nobody is left without a chance. Draws are by seeded hash.

use std::collections::VecDeque;

use freshet_schema::event::{Event, Follow, FollowAction, Status};
use freshet_schema::feed::{FeedItem, SlotPolicy};
use freshet_schema::{CreatorId, Interaction, Millis, VideoId, hash};
use rustc_hash::{FxHashMap, FxHashSet};

/// A day in milliseconds: as long as a video is new.
const DAY: u64 = 86_400_000;
/// Draws for a place before it stays what it was: who has seen most of what is new has seen what is drawn.
const DRAWS: u64 = 8;

/// See the module.
#[derive(Debug)]
pub struct Promotion {
    /// Share of the places, in [0, 1].
    share: f64,
    since: Millis,
    seed: u64,
    /// Users who follow a creator.
    followers: FxHashMap<CreatorId, u64>,
    /// Videos of the last day with when they became ready, the oldest first.
    new: VecDeque<(u64, VideoId, CreatorId)>,
    met: FxHashSet<VideoId>,
}

impl Promotion {
    /// Of this share of all places, in a world that began at `since`: what was there before is not new.
    #[must_use]
    pub fn new(share: f64, since: Millis, seed: u64) -> Self {
        let (followers, new, met) = (FxHashMap::default(), VecDeque::new(), FxHashSet::default());
        Self { share, since, seed, followers, new, met }
    }

    /// Takes in what happened, if it is an upload or a follow.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Upload(upload)
                if upload.status == Status::Ready
                    && self.met.insert(upload.video_id)
                    && upload.created_at >= self.since =>
            {
                self.new.push_back((upload.event_time.0, upload.video_id, upload.creator_id));
            }
            Event::Follow(Follow { creator_id, action: FollowAction::Follow, .. }) => {
                *self.followers.entry(*creator_id).or_default() += 1;
            }
            Event::Follow(Follow { creator_id, action: FollowAction::Unfollow, .. }) => {
                if let Some(followers) = self.followers.get_mut(creator_id) {
                    *followers = followers.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// What stands at a place of a page in the stead of what the list has there, if anything; `place` counts all places ever.
    pub fn instead(
        &mut self,
        view: &Interaction,
        place: u64,
        seen: impl Fn(VideoId) -> bool,
    ) -> Option<FeedItem> {
        let now = view.event_time.0;
        while self.new.front().is_some_and(|(ready, ..)| ready + DAY < now) {
            self.new.pop_front();
        }
        let lot = |what: u64| hash::mix(self.seed, &[0x9a0, view.user_id.0, place, what]);
        if (lot(0) as f64 / u64::MAX as f64) >= self.share {
            return None;
        }
        let weight = |creator: &CreatorId| self.followers.get(creator).map_or(1, |n| n + 1);
        let whole: u64 = self.new.iter().map(|(.., creator)| weight(creator)).sum();
        (1..=DRAWS).find_map(|draw| {
            let mut left = lot(draw).checked_rem(whole)?;
            let (_, video, creator) = self.new.iter().find(|(.., creator)| {
                let own = weight(creator);
                let found = left < own;
                left = left.saturating_sub(own);
                found
            })?;
            let propensity = (self.share * weight(creator) as f64 / whole as f64) as f32;
            (!seen(*video)).then(|| FeedItem {
                video_id: video.0,
                policy: SlotPolicy::Explore as i32,
                propensity,
                ..FeedItem::default()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::{Upload, UserId};

    use super::*;

    fn upload(video: u64, at: u64) -> Event {
        Event::Upload(Upload {
            video_id: VideoId(video),
            creator_id: CreatorId(video),
            created_at: Millis(at),
            event_time: Millis(at),
            status: Status::Ready,
            ..Upload::default()
        })
    }

    #[test]
    fn who_is_followed_is_promoted_and_nobody_never() {
        let mut promotion = Promotion::new(0.5, Millis(10), 1);
        promotion.hear(&upload(9, 5));
        promotion.hear(&upload(1, 1_000));
        promotion.hear(&upload(2, 1_000));
        let follow = |user, action| {
            Event::Follow(Follow {
                user_id: UserId(user),
                creator_id: CreatorId(1),
                action,
                ..Follow::default()
            })
        };
        (0..4).for_each(|user| promotion.hear(&follow(user, FollowAction::Follow)));
        promotion.hear(&follow(0, FollowAction::Unfollow));
        let mut shown = |at: u64, seen: u64| {
            let mut shown = [0; 3];
            for place in 0..4_000 {
                let view = Interaction { event_time: Millis(at), ..Interaction::default() };
                let item = promotion.instead(&view, place, |video| video == VideoId(seen));
                shown[item.map_or(0, |item| item.video_id as usize)] += 1;
            }
            shown
        };
        let near = |n: i32, wanted: i32| assert!((n - wanted).abs() < 150, "{n} of {wanted}");
        let [left, followed, unknown] = shown(2_000, 0);
        near(left, 2_000);
        near(followed, 1_600);
        near(unknown, 400);
        let [left, followed, unknown] = shown(3_000, 1);
        assert_eq!(followed, 0, "it was seen");
        near(unknown, 2_000 - 2_000 * 17 / 100);
        near(left, 4_000 - unknown);
        assert_eq!(shown(1_001 + DAY, 0), [4_000, 0, 0], "nothing is new a day later");
    }
}
