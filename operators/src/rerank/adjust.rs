//! The order by score, and the order after fatigue, first taste and abuse have changed scores.

use std::cmp::Ordering;

use super::creator::scaled;
use super::{Account, Context, Entry};

/// A candidate in the adjusted order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adjusted {
    pub(super) score: f32,
    pub(super) account: Account,
}

/// Best first: score, then the lower video. Equal videos with equal scores are the same candidate.
fn best_first(entries: &[Entry<'_>], a: (f32, usize), b: (f32, usize)) -> Ordering {
    let video = |at: usize| entries[at].content.video;
    b.0.total_cmp(&a.0).then_with(|| video(a.1).cmp(&video(b.1)))
}

/// The candidates in adjusted order with their ranks in both.
pub(super) fn order(entries: &[Entry<'_>], context: &Context<'_>) -> Vec<Adjusted> {
    let fatigue = context.fatigue.filter(|fatigue| fatigue.is_strong());
    let taste = context.taste.filter(|taste| taste.is_known());
    let mut order: Vec<Adjusted> = entries
        .iter()
        .enumerate()
        .map(|(entry, candidate)| {
            // -0 is 0, and NaN comes last: what compares equal is equal.
            let score = if candidate.score.is_nan() { f32::NEG_INFINITY } else { candidate.score + 0.0 };
            let account = Account {
                entry,
                by_score: 0,
                fatigue: 1.0,
                taste: 1.0,
                trusted: candidate.trusted,
                spread: 1.0,
                adjusted: 0,
            };
            Adjusted { score, account }
        })
        .collect();
    let sort = |order: &mut [Adjusted]| {
        order.sort_unstable_by(|a, b| {
            best_first(entries, (a.score, a.account.entry), (b.score, b.account.entry))
        });
    };
    sort(&mut order);
    for (rank, adjusted) in order.iter_mut().enumerate() {
        adjusted.account.by_score = rank as u32 + 1;
        adjusted.account.adjusted = rank as u32 + 1;
    }
    let spread = context.spread.filter(|spread| !spread.chances.is_empty());
    let trusted = entries.iter().all(|candidate| candidate.trusted >= 1.0);
    if fatigue.is_none() && taste.is_none() && spread.is_none() && trusted {
        return order;
    }
    for Adjusted { score, account } in &mut order {
        let content = entries[account.entry].content;
        account.fatigue = fatigue.map_or(1.0, |fatigue| fatigue.factor(content));
        account.taste = taste.map_or(1.0, |taste| taste.factor(content));
        account.spread = spread.map_or(1.0, |spread| spread.factor(context.subject, content.video));
        *score = scaled(*score, account.fatigue * account.taste * account.trusted * account.spread);
    }
    sort(&mut order);
    for (rank, adjusted) in order.iter_mut().enumerate() {
        adjusted.account.adjusted = rank as u32 + 1;
    }
    order
}
