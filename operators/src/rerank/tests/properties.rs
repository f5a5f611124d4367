//! What holds for any candidates, checked on the finished list.

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_learning::LONG_DIMS;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bandit::{Bet, Outlook};
use crate::content::Content;
use crate::params::{DAY, Exploration, Explore, MINUTE, Params};
use crate::rerank::similarity::Measured;
use crate::rerank::testing::{Signal, angle, content, row};
use crate::rerank::{
    Claim, Context, Entry, Fatigue, Kind, Policy, Reranked, Rule, Slot, Taste, rerank, scaled,
};
use crate::row::Row;

const NOW: u64 = 20_000 * DAY;

#[derive(Clone, Debug)]
struct Case {
    params: Params,
    kind: Kind,
    rows: Vec<Row>,
    entries: Vec<(f32, Arc<Content>, bool)>,
    claims: Vec<Claim>,
    outlook: Option<Outlook>,
}

impl Case {
    fn entries(&self) -> Vec<Entry<'_>> {
        self.entries
            .iter()
            .map(|(score, content, drawn)| Entry {
                score: *score,
                content,
                norm: content.vector.norm(LONG_DIMS),
                drawn: *drawn,
                claimed: false,
                trusted: 1.0,
                arm: content.category,
            })
            .collect()
    }

    fn list(&self) -> Reranked {
        let fatigue = Fatigue::of(&self.rows, NOW, &self.params);
        let taste = Taste::of(&self.rows, &self.params);
        let context = Context {
            kind: self.kind,
            subject: 3,
            now: NOW,
            rows: &self.rows,
            fatigue: Some(&fatigue),
            taste: Some(&taste),
            claims: &self.claims,
            narrowed: false,
            outlook: self.outlook.as_ref(),
            spread: None,
        };
        rerank(&self.entries(), &context, &self.params)
    }

    fn content(&self, slot: &Slot) -> &Content {
        &self.entries[slot.account.entry].1
    }

    fn videos(&self, list: &Reranked) -> Vec<u64> {
        list.slots.iter().map(|slot| self.content(slot).video).collect()
    }
}

fn a_video(video: u64) -> impl Strategy<Value = Content> {
    // Few of each, so that the rules have something to do; angles repeat, so that neighbours are alike.
    (0u64..6, 0u64..4, 0u64..5, prop::option::weighted(0.8, 0u8..12)).prop_map(
        move |(creator, category, twin, twelfth)| {
            let mut made = content(video, creator, category, &[["a", "b", "c"][video as usize % 3]]);
            made.twin = if twin < 3 { 0 } else { twin + video % 4 };
            if let Some(twelfth) = twelfth {
                made.vector = angle(f32::from(twelfth) * 30.0);
            }
            made
        },
    )
}

fn a_row(n: u64) -> impl Strategy<Value = Row> {
    let signal = prop_oneof![
        3 => Just(Signal::Watched),
        2 => Just(Signal::Skipped),
        1 => Just(Signal::Disliked),
    ];
    (0u64..80).prop_flat_map(a_video).prop_flat_map(move |content| {
        signal.clone().prop_map(move |signal| row(content.clone(), NOW - (200 - n) * MINUTE, signal))
    })
}

fn an_outlook() -> impl Strategy<Value = (Exploration, Outlook)> {
    let policy = prop_oneof![
        Just(Explore::Off),
        Just(Explore::Linucb),
        Just(Explore::EpsilonGreedy),
        Just(Explore::Random),
    ];
    let bets = vec((any::<bool>(), 0u8..4, 0u8..4), 3);
    (policy, 0usize..6, 0.01f64..1.0, bets).prop_map(|(policy, slots, epsilon, bets)| {
        let bet = |estimate: u8, width: u8| Bet {
            estimate: f32::from(estimate) / 4.0,
            width: f32::from(width) / 4.0,
        };
        let known = (1..).zip(bets).filter(|(_, (known, ..))| *known);
        let arms = known.map(|(category, (_, estimate, width))| (category, bet(estimate, width))).collect();
        let exploration = Exploration { policy, slots, alpha: 1.0, epsilon, ..Exploration::default() };
        (exploration, Outlook { version: 1, arms, unseen: bet(0, 5), ..Outlook::default() })
    })
}

fn a_case() -> impl Strategy<Value = Case> {
    let entry = (0u64..90).prop_flat_map(|video| (-3i8..20, a_video(video), prop::bool::weighted(0.3)));
    let rows = (0u64..25).prop_flat_map(|count| (0..count).map(a_row).collect::<Vec<_>>());
    let claims = vec((0usize..70, 1usize..40, 0usize..10), 0..3);
    let kind = prop_oneof![3 => Just(Kind::User), 1 => Just(Kind::NewUser), 1 => Just(Kind::Group)];
    (vec(entry, 0..70), rows, claims, kind, 1usize..50, any::<u32>(), an_outlook()).prop_map(
        |(entries, rows, claims, kind, length, seed, (exploration, outlook))| {
            let mut params = Params { seed: u64::from(seed), ..Params::default() };
            params.feed.length = length;
            params.exploration = exploration;
            let outlook = params.exploration.explores().then_some(outlook);
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(score, content, drawn)| (f32::from(score) / 20.0, Arc::new(content), drawn))
                .collect();
            let claims = claims
                .into_iter()
                .filter(|(entry, ..)| *entry < entries.len())
                .map(|(entry, from, more)| Claim {
                    entry,
                    policy: Policy::Cohort,
                    from,
                    to: from + more,
                    propensity: 0.25,
                })
                .collect();
            Case { params, kind, rows, entries, claims, outlook }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_list_is_full_and_each_candidate_is_told_once(case in a_case()) {
        let list = case.list();
        let mut told: Vec<usize> = list.slots.iter().map(|s| s.account.entry).collect();
        told.extend(list.left.iter().map(|l| l.account.entry));
        told.sort_unstable();
        prop_assert_eq!(told, (0..case.entries.len()).collect::<Vec<_>>());

        let videos = case.videos(&list);
        let distinct: BTreeSet<u64> = videos.iter().copied().collect();
        prop_assert_eq!(distinct.len(), videos.len());
        let watched: BTreeSet<u64> =
            case.rows.iter().rev().take(case.params.feed.no_repeat_last).map(|r| r.content.video).collect();
        let shown: BTreeSet<u64> =
            case.entries.iter().map(|(_, c, _)| c.video).filter(|v| !watched.contains(v)).collect();
        prop_assert!(distinct.is_subset(&shown));
        prop_assert_eq!(videos.len(), shown.len().min(case.params.feed.length));
        if list.slots.iter().any(|slot| slot.relaxed.contains(Rule::Twin)) && case.claims.is_empty() {
            prop_assert!(list.left.iter().all(|left| matches!(left.rule, Rule::Twin | Rule::Watched)));
        }
    }

    /// What a place does not say was given up for it, holds.
    #[test]
    fn the_rules_hold_unless_the_account_says_otherwise(case in a_case()) {
        let list = case.list();
        for (at, slot) in list.slots.iter().enumerate() {
            let own = case.content(slot);
            let before = &list.slots[..at];
            let twin = own.twin != 0 && before.iter().any(|s| case.content(s).twin == own.twin);
            prop_assert_eq!(twin, slot.relaxed.contains(Rule::Twin));
            let window = &before[at.saturating_sub(case.params.feed.category_window - 1)..];
            let of_category = window.iter().filter(|s| case.content(s).category == own.category).count();
            let crowded = own.category != 0 && of_category >= case.params.feed.per_category;
            prop_assert_eq!(crowded, slot.relaxed.contains(Rule::Category));
            let alike = before.last().is_some_and(|neighbour| {
                Measured::new(own).alike(&Measured::new(case.content(neighbour)), case.params.rerank.similarity_cap)
            });
            prop_assert_eq!(alike, slot.relaxed.contains(Rule::Similarity));

            prop_assert!(slot.propensity > 0.0 && slot.propensity <= 1.0);
            prop_assert!(slot.policy != Policy::Rank || slot.propensity == 1.0);
            prop_assert_eq!(slot.policy == Policy::Bandit, slot.arm.is_some());
            if let Some(arm) = slot.arm {
                // Each category has its part of what is shared out among all.
                let least = case.params.exploration.epsilon as f32 / arm.arms as f32;
                prop_assert!(own.category != 0 && slot.propensity >= least - 1e-6, "{arm:?} {}", slot.propensity);
            }
            let score = case.entries[slot.account.entry].0;
            let adjusted = scaled(score, slot.account.fatigue * slot.account.taste);
            prop_assert_eq!(slot.compared, scaled(adjusted, slot.creator));
            let earlier = before.iter().filter(|s| own.creator != 0 && case.content(s).creator == own.creator);
            let decay = (case.params.rerank.creator_decay as f32).powi(earlier.count() as i32);
            prop_assert!((slot.creator - decay).abs() < 1e-5);
        }
        let both = list.slots.iter().map(|s| s.account).chain(list.left.iter().map(|l| l.account));
        let (mut by_score, mut adjusted): (Vec<u32>, Vec<u32>) = both.map(|a| (a.by_score, a.adjusted)).unzip();
        by_score.sort_unstable();
        adjusted.sort_unstable();
        prop_assert!(by_score.iter().copied().eq(1..=case.entries.len() as u32));
        prop_assert_eq!(by_score, adjusted);
    }

    /// At most the budget explores, and at most half of a list is drawn.
    #[test]
    fn exploration_keeps_to_its_budget(case in a_case()) {
        let list = case.list();
        let explored = list.slots.iter().filter(|slot| slot.policy == Policy::Bandit).count();
        prop_assert!(explored <= case.params.exploration.slots);
        if explored > 0 {
            let drawn = list.slots.iter().filter(|slot| matches!(slot.policy, Policy::Bandit | Policy::Novelty));
            prop_assert!(case.kind == Kind::User && 2 * drawn.count() <= case.params.feed.length);
        }
    }

    #[test]
    fn the_order_of_the_candidates_is_no_matter(case in a_case(), turn in 0usize..70, claims in any::<bool>()) {
        // The same video twice may differ in content; which of two equals is meant is then the caller's word.
        let mut case = case;
        let mut seen = BTreeSet::new();
        case.entries.retain(|(_, content, _)| seen.insert(content.video));
        case.claims.retain(|claim| claims && claim.entry < case.entries.len());
        let list = case.list();
        let mut turned = case.clone();
        let count = case.entries.len().max(1);
        turned.entries.rotate_left(turn % count);
        turned.entries.reverse();
        for claim in &mut turned.claims {
            let video = case.entries[claim.entry].1.video;
            claim.entry = turned.entries.iter().position(|(_, c, _)| c.video == video).expect("still there");
        }
        let other = turned.list();
        prop_assert_eq!(case.videos(&list), turned.videos(&other));
        prop_assert_eq!(&case.list(), &list);
        for (a, b) in list.slots.iter().zip(&other.slots) {
            prop_assert_eq!((a.policy, a.propensity, a.moved, a.relaxed), (b.policy, b.propensity, b.moved, b.relaxed));
        }
    }

    /// Where no rule is in the way, the ranked places are the order by score less what was drawn before.
    #[test]
    fn another_seed_changes_what_is_drawn_and_what_that_displaces(seeds in vec(any::<u32>(), 2), count in 10u64..60) {
        let entries: Vec<_> = (0..count)
            .map(|n| {
                let degrees = if n % 3 == 0 { 100.0 } else { 0.0 };
                let vector = angle(degrees);
                let made = Content { vector, ..content(n, n + 1, 0, &[]) };
                (1.0 - n as f32 / 100.0, Arc::new(made), false)
            })
            .collect();
        let rows = vec![row(Content { vector: angle(0.0), ..content(500, 0, 0, &[]) }, NOW - 9 * DAY, Signal::Skipped)];
        let lists: Vec<(Case, Reranked)> = seeds
            .iter()
            .map(|seed| {
                let mut params = Params { seed: u64::from(*seed), ..Params::default() };
                params.feed.length = 40;
                params.rerank.similarity_cap = 1.0;
                let (rows, entries) = (rows.clone(), entries.clone());
                let case = Case { params, kind: Kind::User, rows, entries, claims: Vec::new(), outlook: None };
                let list = case.list();
                (case, list)
            })
            .collect();
        for (case, list) in &lists {
            let mut left: Vec<u64> = (0..count).collect();
            for slot in &list.slots {
                let video = case.content(slot).video;
                if slot.policy == Policy::Rank {
                    prop_assert_eq!(video, left[0]);
                } else {
                    prop_assert_eq!((slot.policy, video % 3), (Policy::Novelty, 0));
                    let eligible = left.iter().filter(|v| *v % 3 == 0).count().min(case.params.rerank.draw_pool);
                    prop_assert_eq!(slot.propensity, 1.0 / eligible as f32);
                }
                left.retain(|other| *other != video);
            }
        }
        let first = lists[0].1.slots.iter().position(|slot| slot.policy == Policy::Novelty);
        let first = first.expect("there is something new");
        prop_assert_eq!(first + 1, 5);
        let ahead = |n: usize| lists[n].0.videos(&lists[n].1)[..first].to_vec();
        prop_assert_eq!(ahead(0), ahead(1));
    }
}

/// The draw is even: over many clocks each of the eligible has the place about as often.
#[test]
fn the_logged_chance_is_the_frequency() {
    let entries: Vec<(f32, Arc<Content>, bool)> = (0..30)
        .map(|n| {
            let vector = angle(if n < 10 { 0.0 } else { 100.0 });
            (1.0 - n as f32 / 100.0, Arc::new(Content { vector, ..content(n, 0, 0, &[]) }), false)
        })
        .collect();
    let rows = vec![row(Content { vector: angle(0.0), ..content(500, 0, 0, &[]) }, 1, Signal::Watched)];
    let mut params = Params::default();
    params.feed.length = 5;
    params.rerank.similarity_cap = 1.0;
    params.rerank.draw_pool = 10;
    let entries: Vec<Entry<'_>> = entries
        .iter()
        .map(|(score, content, drawn)| Entry {
            score: *score,
            content,
            norm: content.vector.norm(LONG_DIMS),
            drawn: *drawn,
            claimed: false,
            trusted: 1.0,
            arm: content.category,
        })
        .collect();
    let mut times = [0u32; 30];
    for now in 0..4000 {
        let context = Context { now: now * DAY + DAY, rows: &rows, ..Context::default() };
        let slot = rerank(&entries, &context, &params).slots[4];
        assert_eq!((slot.policy, slot.propensity), (Policy::Novelty, 0.1));
        times[slot.account.entry] += 1;
    }
    assert!(times[..10].iter().chain(&times[20..]).all(|n| *n == 0), "{times:?}");
    // 400 expected each; 5 standard deviations are 95.
    assert!(times[10..20].iter().all(|n| n.abs_diff(400) < 95), "{times:?}");
}

/// Over many clocks each category has a place that explores as often as its chance says, and the chances of all add up to one.
#[test]
fn the_chance_of_a_category_is_its_frequency() {
    let entries: Vec<(f32, Arc<Content>)> =
        (0..40).map(|n| (1.0 - n as f32 / 100.0, Arc::new(content(n, n, n % 5, &[])))).collect();
    let entries: Vec<Entry<'_>> = entries
        .iter()
        .map(|(score, content)| Entry {
            score: *score,
            content,
            norm: content.vector.norm(LONG_DIMS),
            drawn: false,
            claimed: false,
            trusted: 1.0,
            arm: content.category,
        })
        .collect();
    let bet = |estimate, width| Bet { estimate, width };
    let arms = vec![(1, bet(0.5, 0.1)), (2, bet(0.3, 0.3)), (3, bet(0.1, 0.1))];
    let outlook = Outlook { version: 1, arms, unseen: bet(0.0, 0.4), ..Outlook::default() };
    let exploration =
        Exploration { policy: Explore::Linucb, slots: 1, alpha: 1.0, epsilon: 0.4, ..Exploration::default() };
    let mut params = Params { exploration, ..Params::default() };
    params.feed.length = 4;
    // Four categories are arms (a video without one is none); of two the bound is the greatest.
    let mut told: std::collections::BTreeMap<u64, (u32, f32)> = std::collections::BTreeMap::new();
    for now in 0..4000 {
        let context = Context { now: now * DAY + DAY, outlook: Some(&outlook), ..Context::default() };
        let list = rerank(&entries, &context, &params);
        let explored: Vec<&Slot> = list.slots.iter().filter(|slot| slot.policy == Policy::Bandit).collect();
        let [slot] = explored[..] else { panic!("one place explores: {list:?}") };
        let category = entries[slot.account.entry].content.category;
        let known = told.entry(category).or_insert((0, slot.propensity));
        known.0 += 1;
        assert_eq!(known.1, slot.propensity, "the places before it are the same");
        assert_eq!(slot.arm.map(|arm| arm.arms), Some(4));
    }
    let sum: f32 = told.values().map(|(_, chance)| chance).sum();
    assert!((sum - 1.0).abs() < 1e-6 && !told.contains_key(&0), "{told:?}");
    for (times, chance) in told.values() {
        let off = 5.0 * (chance * (1.0 - chance) / 4000.0).sqrt();
        assert!((*times as f32 / 4000.0 - chance).abs() < off, "{told:?}");
    }
}

/// A new user's list turns to what the first positives share, at the first of them.
#[test]
fn a_new_users_list_turns_with_the_first_positives() {
    let case = |positives: u64| {
        let entries = (0..200)
            .map(|n| (1.0 - n as f32 / 400.0, Arc::new(content(n, n + 1, n % 10 + 1, &[])), false))
            .collect();
        let rows = (0..positives)
            .map(|n| {
                row(content(1000 + n, 5000 + n, 4, &[]), NOW - (positives - n) * MINUTE, Signal::Watched)
            })
            .collect();
        Case { params: Params::default(), kind: Kind::User, rows, entries, claims: Vec::new(), outlook: None }
    };
    let share = |positives: u64| {
        let case = case(positives);
        let list = case.list();
        list.slots[..20].iter().filter(|slot| case.content(slot).category == 4).count()
    };
    assert_eq!(share(0), 2);
    // Three of ten is what the categories' rule allows.
    assert_eq!((share(1), share(5)), (6, 6));
    assert_eq!(share(10), 2);
}
