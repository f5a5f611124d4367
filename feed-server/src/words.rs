//! The account of a place in words that a lay person reads: short sentences, the numbers beside what they mean.
//!
//! In the order in which a place comes about: why the video was a candidate, what is expected of it and what speaks for and
//! against it, what moved it, and with what chance it got the place. Names that this release does not know are given as they
//! are.

use freshet_schema::feed::{FeedItem, SlotPolicy, Source, Stage};

use crate::account::{Account, Estimate, Gap, Stored, propensity, rules};

/// Reasons named on either side.
const NAMED: usize = 3;

/// The account of the item at `at` (from 0) of a stored list, one sentence after the other. Empty where there is no such item.
#[must_use]
pub fn explain(stored: &Stored, at: usize, account: Option<&Account>, gap: Option<Gap>) -> Vec<String> {
    let Some(item) = stored.list.items.get(at) else { return Vec::new() };
    let mut text = vec![candidate(stored, item, at + 1)];
    match account.and_then(|account| account.estimate.as_ref()) {
        Some(estimate) => expected(estimate, item, &mut text),
        None => text.push(format!("Its score is {}.", short(item.score))),
    }
    if let Some(account) = account {
        text.push(ranks(account, at + 1));
    }
    text.extend(moved(item, account));
    text.extend(gap.map(|gap| gap.words().to_owned()));
    text.push(chance(item));
    text
}

fn candidate(stored: &Stored, item: &FeedItem, rank: usize) -> String {
    let of = stored.list.items.len();
    let whose = if stored.own { "" } else { " in the list for new users" };
    let brought: Vec<&str> = item.sources().map(source).collect();
    let brought = if brought.is_empty() { "it is listed".to_owned() } else { join(&brought) };
    format!("Number {rank} of {of}{whose}, because {brought}.")
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Unspecified => "a source of another release brought it",
        Source::Followed => "the user follows its creator",
        Source::Hashtag => "it carries a hashtag that the user likes",
        Source::Sound => "it uses a sound that the user likes",
        Source::Trending => "it is trending",
        Source::Demographic => "it is popular in the user's group",
        Source::Exploration => "it was drawn to be tried out",
        Source::Next => "others watched it next after what the user watched last",
        Source::CoEngaged => "others liked it together with what the user watched last",
        Source::Similar => "it is like what the user watches",
        Source::Cohort => "it is new and the user is among those whom it is shown to first",
    }
}

fn expected(estimate: &Estimate, item: &FeedItem, text: &mut Vec<String>) {
    let Some((choice, later)) = estimate.heads.split_first() else { return };
    text.push(format!(
        "The chance that the user takes it up when it is offered is put at {}.",
        percent(choice.estimate)
    ));
    text.extend(objectives(estimate));
    text.push(format!(
        "Weighed together that is {}, and times the chance it makes {}: its score.",
        short(estimate.objectives_sum),
        short(item.score)
    ));
    let (best, worst) = reasons(estimate);
    for (reasons, side) in [(best, "for"), (worst, "against")] {
        if !reasons.is_empty() {
            text.push(format!(
                "What speaks most {side} it: {}.",
                join(&reasons.iter().map(String::as_str).collect::<Vec<_>>())
            ));
        }
    }
    text.push(learned(choice.examples, later.iter().map(|head| head.examples).fold(0.0, f32::max)));
    let unlearned: Vec<&str> =
        estimate.heads.iter().filter(|head| head.examples <= 0.0).map(|head| head.name.as_str()).collect();
    if !unlearned.is_empty() && unlearned.len() < estimate.heads.len() {
        text.push(format!("Not learned yet, so still set by hand: {}.", join(&unlearned)));
    }
}

/// What is expected of each objective, as one sentence.
fn objectives(estimate: &Estimate) -> Option<String> {
    let mut clauses = Vec::new();
    let mut tired = String::new();
    for objective in &estimate.objectives {
        let share = percent(objective.estimate);
        match objective.name.as_str() {
            "watch" => clauses.push(format!("that {share} of it are watched")),
            "completion" => clauses.push(format!("that it is watched to the end with a chance of {share}")),
            "rewatch" => clauses.push(format!("that it is played again with a chance of {share}")),
            "continuation" => clauses.push(format!("that the user watches on after it with {share}")),
            "fast_skip" => clauses.push(format!("that it is skipped fast with {share}")),
            "fatigue" => tired = format!("; the user is {share} tired of what it shows"),
            other => clauses.push(format!("{other:?} at {share}")),
        }
    }
    let clauses: Vec<&str> = clauses.iter().map(String::as_str).collect();
    (!clauses.is_empty()).then(|| format!("Once it plays, it is expected {}{tired}.", join(&clauses)))
}

/// How much was learned: of offers, and of views.
fn learned(choices: f32, views: f32) -> String {
    if choices <= 0.0 && views <= 0.0 {
        return "Nothing was learned yet: these expectations follow weights that were set by hand."
            .to_owned();
    }
    format!(
        "These expectations were learned from about {choices:.0} {} (taken up or passed over) and {views:.0} {}, older ones \
         counting less.",
        if choices.round() == 1.0 { "offer" } else { "offers" },
        if views.round() == 1.0 { "view" } else { "views" },
    )
}

/// What a feature is, in words; `None` where it is the same for every video and so speaks for none.
fn feature_words(name: &str) -> Option<String> {
    let words = match name {
        "one" => return None,
        "share of attention"
        | "share of quick attention"
        | "share of attention, unfollowed"
        | "share of quick attention, unfollowed"
        | "attention, logarithm" => "how much attention it gets from everybody",
        "watched next" | "watched next, unfollowed" => {
            "how often it was watched next after what the user watched last"
        }
        "liked together" => "how often it was liked together with what the user liked",
        "similarity" => "how near it is to what the user watches",
        "category affinity" => "what the user thinks of its category",
        "creator affinity" => "what the user thinks of its creator",
        "hashtag affinity" => "what the user thinks of its hashtags",
        "sound affinity" => "what the user thinks of its sound",
        "creator followed" => "whether the user follows its creator",
        "freshness" => "how new it is",
        "few views" => "how few have seen it so far",
        "quality" => "how well it does for its kind",
        "creator score" => "how well its creator's videos do",
        "video: watched part" => "how much of it others watch",
        "video: completed" => "how often others watch it to the end",
        "video: skipped fast" => "how often others skip it fast",
        "video: played again" => "how often others play it again",
        "video: liked" => "how often others like it",
        "length, logarithm" | "shortness" => "its length",
        "popular in the group" => "how popular it is in the user's group",
        name => return Some(format!("{name:?}")),
    };
    Some(words.to_owned())
}

/// What speaks most for and against: words with their part of the score, the largest first. Features that are one thing in
/// words count as one.
fn reasons(estimate: &Estimate) -> (Vec<String>, Vec<String>) {
    let mut sums: Vec<(String, f32)> = Vec::new();
    for feature in &estimate.features {
        let Some(words) = feature_words(&feature.name) else { continue };
        match sums.iter_mut().find(|(known, _)| *known == words) {
            Some((_, sum)) => *sum += feature.influence,
            None => sums.push((words, feature.influence)),
        }
    }
    sums.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let side = |wanted: fn(f32) -> bool| {
        let named = sums.iter().filter(|(_, sum)| wanted(*sum)).take(NAMED);
        named
            .map(|(words, sum)| format!("{words} ({}{})", if *sum > 0.0 { "+" } else { "" }, short(*sum)))
            .collect()
    };
    (side(|sum| sum > 0.0), side(|sum| sum < 0.0))
}

fn ranks(account: &Account, rank: usize) -> String {
    let by_value = format!("By score alone it is number {} of the candidates", account.rank_by_value);
    if account.rank_adjusted == account.rank_by_value {
        format!("{by_value}; after all rules it is number {rank}.")
    } else {
        // Its own factors; where it has none, those of others moved it.
        let causes: Vec<&str> = [
            ("fatigue", account.fatigue_factor),
            ("first taste", account.taste_factor),
            ("suspected abuse", account.abuse_factor.unwrap_or(1.0)),
            ("how many lists hold it", account.spread_factor.unwrap_or(1.0)),
        ]
        .into_iter()
        .filter(|(_, factor)| *factor != 1.0)
        .map(|(cause, _)| cause)
        .collect();
        let causes = if causes.is_empty() { "what changes others' scores".to_owned() } else { join(&causes) };
        format!(
            "{by_value}; with {causes} it is number {}; after all rules it is number {rank}.",
            account.rank_adjusted
        )
    }
}

/// What moved it, and what was given up for it.
fn moved(item: &FeedItem, account: Option<&Account>) -> Vec<String> {
    let times = |factor: fn(&Account) -> f32| {
        account.map_or_else(String::new, |account| {
            format!(": its score counts {} times", short(factor(account)))
        })
    };
    let words = |rule: &str| match rule {
        "category" => {
            "It was held back further up, because its category had its share of places there.".to_owned()
        }
        "similarity" => {
            "It was held back further up, because it is too much like its neighbour there.".to_owned()
        }
        "twin" => "It was held back further up, because a near-duplicate of it has a place.".to_owned(),
        "creator" => format!("Its creator has places above it{}.", times(|a| a.creator_factor)),
        "fatigue" => format!("The user has tired of what it shows{}.", times(|a| a.fatigue_factor)),
        "taste" => {
            format!("It shares something with what the user liked first{}.", times(|a| a.taste_factor))
        }
        "abuse" => format!("It is flagged for abuse{}.", times(|a| a.abuse_factor.unwrap_or(1.0))),
        "spread" => {
            format!("Too many users' lists hold it already{}.", times(|a| a.spread_factor.unwrap_or(1.0)))
        }
        other => format!("The rule {other:?} moved it from its place by score."),
    };
    let mut text: Vec<String> = rules(&item.moved_by).iter().map(|rule| words(rule)).collect();
    let relaxed: Vec<&str> =
        account.iter().flat_map(|account| &account.relaxed).map(|rule| relaxed(rule)).collect();
    if !relaxed.is_empty() {
        text.push(format!("So that the list is full, a rule was given up here: {}.", join(&relaxed)));
    }
    text
}

fn relaxed(rule: &str) -> &str {
    match rule {
        "category" => "so many of a category within a window",
        "similarity" => "neighbours unlike each other",
        "twin" => "near-duplicates only once",
        other => other,
    }
}

/// What kept a candidate out: the stage's name, and the reason as a part of a sentence.
#[must_use]
pub fn dropped(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Watched => ("watched", "the user has watched it"),
        Stage::CategoryCap => ("category_cap", "the rule of so many videos a category left no place for it"),
        Stage::Twin => ("twin", "a near-duplicate of it, with the same sound and caption, has a place"),
        Stage::Similarity => ("similarity", "it is too much like its neighbours"),
        Stage::Creator => ("creator", "its creator has places already"),
        Stage::Fatigue => ("fatigue", "the user has tired of what it shows"),
        Stage::Taste => ("taste", "others share something with what the user liked first, and passed it"),
        Stage::Abuse => ("abuse", "it is flagged for abuse, and others passed it"),
        Stage::Spread => ("spread", "too many users' lists hold it already, and others passed it"),
        Stage::Slot => ("slot", "a place that was drawn went to another"),
        Stage::LightRank => {
            ("light_rank", "it was too far behind the other candidates to be looked at closely")
        }
        Stage::Length => ("length", "it ranked below the end of the list"),
        Stage::Unspecified => {
            ("unspecified", "it was a candidate and was dropped by a stage that this release does not know")
        }
    }
}

/// How the place was given, and with what chance.
fn chance(item: &FeedItem) -> String {
    let drawn_from = match item.policy() {
        SlotPolicy::Unspecified => {
            return "How the place was given is not written down: an older release made the list.".to_owned();
        }
        SlotPolicy::Rank => {
            return "The place goes to the best that the rules allow; no chance was in it.".to_owned();
        }
        SlotPolicy::Cohort => {
            "The video is new and the user was chosen for its cohort, which may claim a place: it had the invitation and the first \
             place drawn for it"
        }
        SlotPolicy::Novelty => {
            "The place is kept for something new: it was drawn from the best that are unlike what the user watched last"
        }
        SlotPolicy::Bandit => return explored(item),
        SlotPolicy::Popular => "Little is known of the user yet, so the place was drawn among the best",
        SlotPolicy::Explore => "The place is kept for trying something out: it was drawn from all videos",
    };
    drawn_words(drawn_from, propensity(item))
}

/// How a place that explores was given: to a category, and why to it.
fn explored(item: &FeedItem) -> String {
    let Some(arm) = &item.arm else {
        return drawn_words("The place is kept for trying a category out", propensity(item));
    };
    let category =
        if arm.category.is_empty() { "of its kind".to_owned() } else { format!("in {:?}", arm.category) };
    let by = match arm.policy.as_str() {
        "random" => "one of them drawn evenly".to_owned(),
        _ if arm.version == 0 => "nothing is known of them yet".to_owned(),
        policy => format!(
            "{} (here {}, give or take {})",
            match policy {
                "linucb" => "mostly the one that may be best, as far as anybody knows",
                _ => "mostly the one expected to be best",
            },
            short(arm.estimate),
            short(arm.width)
        ),
    };
    let from = format!(
        "The place is kept for trying out what the user may like: of {} categories, {by}, it went to the best video {category}",
        arm.arms
    );
    drawn_words(&from, propensity(item))
}

fn drawn_words(drawn_from: &str, chance: f32) -> String {
    let one_in = (1.0 / chance).round();
    if chance >= 1.0 {
        format!("{drawn_from}; there was no other to choose from.")
    } else if (one_in * chance - 1.0).abs() < 1e-3 {
        format!("{drawn_from}, with a chance of 1 in {one_in:.0} ({}).", percent(chance))
    } else {
        format!("{drawn_from}, with a chance of {}.", percent(chance))
    }
}

fn percent(part: f32) -> String {
    let percent = part * 100.0;
    match percent.abs() {
        size if size >= 10.0 || size == 0.0 => format!("{percent:.0} %"),
        size if size >= 1.0 => format!("{percent:.1} %"),
        _ => format!("{percent:.2} %"),
    }
}

/// Three digits that count.
#[must_use]
pub fn short(number: f32) -> String {
    let size = number.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e4).contains(&size) {
        return format!("{number:.1e}");
    }
    // 0.0123 has its first digit at the second place after the point.
    let places = if size >= 1.0 { 2 } else { 2 - size.log10().floor() as i32 };
    format!("{number:.*}", usize::try_from(places).unwrap_or(2))
}

fn join(parts: &[&str]) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{ByHead, Feature, Head, Objective};
    use freshet_schema::feed::{DrawnArm, FeedRecord};

    fn feature(name: &str, influence: f32) -> Feature {
        let none = || ByHead(Vec::new());
        Feature { name: name.to_owned(), value: 1.0, weights: none(), contributions: none(), influence }
    }

    fn estimate() -> Estimate {
        let head = |name: &str, examples| Head {
            name: name.to_owned(),
            sum: 0.1,
            estimate: 0.1,
            curve: Vec::new(),
            examples,
        };
        Estimate {
            choice_floor: 0.002,
            heads: vec![head("choice", 40.0), head("watch", 0.0)],
            objectives: vec![Objective {
                name: "watch".to_owned(),
                estimate: 0.1,
                weight: 0.4,
                contribution: 0.04,
            }],
            objectives_sum: 0.04,
            features: vec![
                feature("one", 9.0),
                feature("watched next", 0.001),
                feature("watched next, unfollowed", 0.002),
                feature("freshness", 0.0025),
                feature("similarity", -0.5),
                feature("odd", 0.0),
            ],
        }
    }

    #[test]
    fn reasons_are_ordered_by_size_and_say_one_thing_once() {
        let (best, worst) = reasons(&estimate());
        let next = "how often it was watched next after what the user watched last (+0.00300)";
        assert_eq!(best, [next, "how new it is (+0.00250)"]);
        assert_eq!(worst, ["how near it is to what the user watches (-0.500)"]);
    }

    #[test]
    fn the_whole_account_reads_as_sentences() {
        let item = FeedItem {
            score: 0.004,
            sources: vec![Source::Next.into()],
            moved_by: "category,creator".to_owned(),
            policy: SlotPolicy::Novelty.into(),
            propensity: 0.05,
            ..FeedItem::default()
        };
        let list = FeedRecord { items: vec![item], ..FeedRecord::default() };
        let stored = Stored { list, own: true, account: None, heads: None };
        let account = Account {
            epoch: 1,
            heads_version: 2,
            value: 0.004,
            rank_by_value: 3,
            fatigue_factor: 1.0,
            taste_factor: 1.0,
            abuse_factor: None,
            spread_factor: None,
            rank_adjusted: 3,
            creator_factor: 0.85,
            compared: 0.0034,
            moved_by: vec!["category".to_owned(), "creator".to_owned()],
            relaxed: vec!["similarity".to_owned()],
            estimate: Some(estimate()),
        };
        let text = explain(&stored, 0, Some(&account), None).join(" ");
        for words in [
            "Number 1 of 1, because others watched it next",
            "offered is put at 10 %.",
            "expected that 10 % of it are watched.",
            "What speaks most for it: how often",
            "What speaks most against it: how near",
            "about 40 offers",
            "still set by hand: watch.",
            "number 3 of the candidates; after all rules it is number 1.",
            "its category had its share",
            "its score counts 0.850 times",
            "given up here: neighbours unlike each other.",
            "a chance of 1 in 20 (5.0 %).",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
        let adjusted = |account: Account| ranks(&Account { rank_adjusted: 9, ..account }, 1);
        for (said, account) in [
            ("with what changes others' scores it is number 9;", account.clone()),
            ("with first taste it is number 9;", Account { taste_factor: 1.5, ..account.clone() }),
            ("with suspected abuse it is number 9;", Account { abuse_factor: Some(0.7), ..account.clone() }),
            (
                "with fatigue and how many lists hold it it is number 9;",
                Account { fatigue_factor: 0.5, spread_factor: Some(0.5), ..account.clone() },
            ),
        ] {
            let text = adjusted(account);
            assert!(text.contains(said), "{said:?} is not in {text:?}");
        }
        let text = explain(&stored, 0, None, Some(Gap::NotStored)).join(" ");
        assert!(text.contains("not stored") && text.contains("Its creator has places above it."), "{text}");
        assert!(explain(&stored, 1, None, None).is_empty());
    }

    #[test]
    fn a_place_that_explores_says_what_was_hoped() {
        let item = |policy: &str, version| FeedItem {
            policy: SlotPolicy::Bandit.into(),
            propensity: 0.9125,
            arm: Some(DrawnArm {
                policy: policy.to_owned(),
                category: "sport".to_owned(),
                estimate: 0.41,
                width: 0.3,
                version,
                arms: 8,
            }),
            ..FeedItem::default()
        };
        let text = chance(&item("linucb", 7));
        for words in [
            "of 8 categories",
            "may be best",
            "0.410, give or take 0.300",
            "video in \"sport\"",
            "a chance of 91 %.",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
        assert!(chance(&item("epsilon-greedy", 7)).contains("expected to be best"));
        assert!(chance(&item("random", 0)).contains("drawn evenly"));
        assert!(chance(&item("linucb", 0)).contains("nothing is known of them yet"));
        assert!(chance(&FeedItem { arm: None, ..item("linucb", 7) }).contains("a chance of 91 %"));
    }

    #[test]
    fn numbers_show_three_digits() {
        let numbers = [0.0, 0.012_34, -0.5, 1.5, 123.4, 0.000_012];
        assert_eq!(numbers.map(short), ["0", "0.0123", "-0.500", "1.50", "123.40", "1.2e-5"]);
    }
}
