//! Who was found, and whom attackers' videos reached.

use std::collections::BTreeSet;

use freshet_sources::generate::{AttackKind, AttackTruth};

use super::super::browse::Browsed;

/// Of one attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OfAttack {
    /// How it was done.
    pub attack: AttackKind,
    /// Its accounts, and those that were flagged at any time.
    pub users: [usize; 2],
    /// Its videos, and those that were flagged at any time.
    pub videos: [usize; 2],
    /// Lists of honest users that had one of its videos among the first places.
    pub lists: u64,
    /// Honest users with such a list at any time.
    pub reached: usize,
    /// Times that an honest user looked at one of its videos.
    pub looks: u64,
}

/// What came of an arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// By attack.
    pub attacks: Vec<OfAttack>,
    /// Users that were flagged at any time, and those of them that attack.
    pub users: [usize; 2],
    /// Videos that were flagged at any time, and those of them that an attack was for.
    pub videos: [usize; 2],
    /// Honest users who had a list.
    pub honest: usize,
    /// Lists of honest users that were made.
    pub lists: u64,
    /// Times that an honest user looked at a video, and how well these suited in sum, in per mille.
    pub looks: u64,
    /// See `looks`.
    pub value: u64,
}

/// Looks at what happened, by the truth.
#[must_use]
pub fn judge(truth: &[AttackTruth], browsed: &Browsed) -> Figures {
    let flagged = &browsed.flagged;
    let found = |of: &[u64], flagged: &BTreeSet<u64>| of.iter().filter(|id| flagged.contains(id)).count();
    let of = |(n, attack): (usize, &AttackTruth)| {
        let reach = browsed.reach.get(n);
        OfAttack {
            attack: attack.attack,
            users: [attack.users.len(), found(&attack.users, &flagged[0])],
            videos: [attack.videos.len(), found(&attack.videos, &flagged[1])],
            lists: reach.map_or(0, |reach| reach.lists),
            reached: reach.map_or(0, |reach| reach.users.len()),
            looks: browsed.exposures.iter().filter(|seen| attack.videos.contains(&seen.video.0)).count()
                as u64,
        }
    };
    let attacks: Vec<OfAttack> = truth.iter().enumerate().map(of).collect();
    let right = |of: fn(&OfAttack) -> usize| attacks.iter().map(of).sum();
    Figures {
        users: [flagged[0].len(), right(|of| of.users[1])],
        videos: [flagged[1].len(), right(|of| of.videos[1])],
        honest: browsed.listed.len(),
        lists: browsed.counts.lists,
        looks: browsed.counts.impressions,
        value: browsed.counts.value,
        attacks,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::browse::{Exposure, Reach};
    use super::*;
    use freshet_schema::feed::SlotPolicy;
    use freshet_schema::{UserId, VideoId};

    #[test]
    fn a_world_by_hand() {
        let truth = AttackTruth {
            attack: AttackKind::Ring,
            users: vec![1, 2, 3],
            videos: vec![10, 11],
            interactions: 9,
        };
        let exposure = |video| Exposure {
            video: VideoId(video),
            user: UserId(7),
            at: 0,
            value: 100,
            completed: false,
            policy: SlotPolicy::Unspecified,
            propensity: 1.0,
            drawn: 0,
        };
        let browsed = Browsed {
            exposures: vec![exposure(10), exposure(11), exposure(12)],
            flagged: [BTreeSet::from([1, 3, 7]), BTreeSet::from([11])],
            reach: vec![Reach { users: [UserId(7), UserId(8)].into_iter().collect(), lists: 5 }],
            ..Browsed::default()
        };
        let figures = judge(&[truth], &browsed);
        let of = figures.attacks[0];
        assert_eq!((of.users, of.videos), ([3, 2], [2, 1]));
        assert_eq!((of.lists, of.reached, of.looks), (5, 2, 2));
        assert_eq!((figures.users, figures.videos), ([3, 2], [1, 1]), "7 is no attacker");
    }
}
