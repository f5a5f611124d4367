//! What a user does with a video, given how well it suits them.

use super::rates;
use super::rng::Rng;

/// How long a video is watched, and whether it was flicked away.
pub(super) struct Watch {
    /// In milliseconds, all plays added.
    pub ms: u64,
    /// Left within the first moments.
    pub skip: bool,
}

/// What is done about a video besides watching it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reactions {
    pub like: bool,
    pub dislike: bool,
    pub share: bool,
    pub comment: bool,
    pub follow: bool,
}

/// Draws the watch time for a match in per mille and a duration in milliseconds.
pub(super) fn watch(matched: u64, duration: u64, rng: &mut Rng) -> Watch {
    if rng.chance(rates::SKIP.0 - rates::SKIP.1 * matched / 1000) {
        let ms = rng.between(200, 1_200) + rng.below(1_400);
        return Watch { ms: ms.min(duration / 4), skip: true };
    }
    let finish = rates::FINISH.0 + rates::FINISH.1 * matched / 1000;
    let finish = if duration > 60_000 { finish / 2 } else { finish };
    let ms = if !rng.chance(finish) {
        // The remaining interest falls off: the smaller of two draws.
        let part = rng.between(60, 900).min(rng.between(60, 900));
        duration * part / 1000
    } else if rng.chance(rates::REWATCH) {
        duration * rng.between(1_500, 3_200) / 1000
    } else {
        duration * rng.between(920, 1_080) / 1000
    };
    Watch { ms, skip: false }
}

/// Draws the reactions. Nobody reacts to what they flicked away, but for disliking it.
pub(super) fn react(matched: u64, skip: bool, rng: &mut Rng) -> Reactions {
    let dislike = rng.chance(rates::DISLIKE * (1000 - matched) / 1000);
    if skip {
        return Reactions { dislike, ..Reactions::default() };
    }
    let mut draw = |(base, full): (u64, u64)| rng.chance(base + full * matched * matched / 1_000_000);
    let (like, comment, follow, share) =
        (draw(rates::LIKE), draw(rates::COMMENT), draw(rates::FOLLOW), draw(rates::SHARE));
    Reactions { like: like && !dislike, dislike, share, comment, follow: follow && !dislike }
}
