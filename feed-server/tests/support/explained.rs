//! A list with accounts, made as the pipeline makes them, by a few lines of its own.

use freshet_schema::feed::{
    Account, AccountRecord, Curve, FeedItem, FeedRecord, HeadsRecord, Objective, SlotPolicy, Source,
};

/// The user with accounts.
pub const USER: u64 = 3;
/// Places of the list; the last has no account.
pub const PLACES: u64 = 4;
const FEATURES: [&str; 5] = ["one", "watched next", "similarity", "few views", "user: likes"];
const HEADS: [&str; 4] = ["choice", "watch", "fast_skip", "like"];
const FLOOR: f32 = 0.002;

/// Weights that are all of another size, of both signs; `like` was not learned.
pub fn heads() -> HeadsRecord {
    let weights =
        (0..FEATURES.len() * HEADS.len()).map(|n| (n as f32 + 1.5) * 0.017 * [1.0, -1.0, 0.5][n % 3]);
    let objective = |name: &str, weight| Objective { name: name.to_owned(), weight };
    HeadsRecord {
        version: 7,
        features: FEATURES.map(str::to_owned).to_vec(),
        heads: HEADS.map(str::to_owned).to_vec(),
        weights: weights.collect(),
        examples: vec![1_200.5, 800.25, 800.25, 0.0],
        objectives: vec![objective("watch", 0.4), objective("fast_skip", -0.05), objective("fatigue", -0.05)],
        choice_floor: FLOOR,
        placed: 0.0,
        curves: vec![
            Curve::default(),
            Curve { said: vec![0.02, 0.04], seen: vec![0.03, 0.05] },
            Curve { said: vec![0.1], seen: vec![0.05] },
        ],
    }
}

/// The features of a place; those of the third make the sum of choice negative.
fn features(place: usize) -> [i16; 5] {
    [[1024, 700, 120, 9, 100], [1024, 500, 240, 0, 100], [1024, 4000, -900, 30, 100], [1024, 0, 0, 0, 100]]
        [place]
}

/// What was seen where a head said so much.
fn seen(head: usize, said: f32) -> f32 {
    let pieces: &[[f32; 4]] = match head {
        1 => &[[0.0, 0.0, 0.02, 0.03], [0.02, 0.03, 0.04, 0.05], [0.04, 0.05, 1.0, 1.0]],
        2 => &[[0.0, 0.0, 0.1, 0.05], [0.1, 0.05, 1.0, 1.0]],
        _ => return said,
    };
    let [x0, y0, x1, y1] = *pieces.iter().find(|piece| said < piece[2]).unwrap_or(&pieces[pieces.len() - 1]);
    y0 + (y1 - y0) * ((said - x0) / (x1 - x0))
}

fn scaled(value: f32, factor: f32) -> f32 {
    if value >= 0.0 { value * factor } else { value / factor }
}

/// The list, and the accounts of all places but the last.
pub fn explained(epoch: u64, now_ms: u64) -> (FeedRecord, AccountRecord) {
    let heads = heads();
    let mut items = Vec::new();
    let mut accounts = Vec::new();
    for place in 0..PLACES as usize {
        let x = features(place);
        let sum = |head: usize| -> f32 {
            let terms = x.iter().zip(heads.weights.chunks(HEADS.len()));
            terms.map(|(x, weights)| f32::from(*x) * weights[head]).sum::<f32>() / 1024.0
        };
        let choice = if sum(0) >= FLOOR { sum(0).min(1.0) } else { FLOOR * FLOOR / (2.0 * FLOOR - sum(0)) };
        let estimates: Vec<f32> = (0..HEADS.len())
            .map(|head| if head == 0 { choice } else { seen(head, sum(head).clamp(0.0, 1.0)) })
            .collect();
        let fatigue = 0.25 * place as f32;
        let r: f32 = [(estimates[1], 0.4f32), (estimates[2], -0.05), (fatigue, -0.05)]
            .map(|(e, w)| e * w)
            .iter()
            .sum();
        let (tired, taste, creator) =
            ([1.0, 0.6, 1.0, 1.0][place], [1.0, 1.5, 1.0, 1.0][place], [1.0, 0.85, 1.0, 1.0][place]);
        let abused = [None, None, Some(0.7), None][place];
        let (value, rank) = (choice * r, place as u32 * 2 + 1);
        accounts.push(Account {
            video_id: place as u64 + 1,
            features: x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            estimates,
            fatigue,
            value,
            rank_by_value: rank,
            fatigue_factor: tired,
            taste_factor: taste,
            abuse_factor: abused,
            spread_factor: None,
            rank_adjusted: rank,
            creator_factor: creator,
            compared: scaled(scaled(value, tired * taste * abused.unwrap_or(1.0)), creator),
            relaxed: if place == 2 { "similarity" } else { "" }.to_owned(),
        });
        items.push(FeedItem {
            video_id: place as u64 + 1,
            score: value,
            sources: vec![Source::Next.into(), Source::CoEngaged.into()],
            moved_by: ["", "creator,fatigue,taste", "category,abuse", ""][place].to_owned(),
            policy: if place == 2 { SlotPolicy::Novelty } else { SlotPolicy::Rank }.into(),
            propensity: if place == 2 { 0.05 } else { 1.0 },
            ..FeedItem::default()
        });
    }
    let _ = accounts.pop();
    let list = FeedRecord {
        user_id: USER,
        epoch,
        now_ms,
        algorithm: "heads-1".to_owned(),
        items,
        heads_version: heads.version,
        ..FeedRecord::default()
    };
    (
        list,
        AccountRecord {
            user_id: USER,
            epoch,
            heads_version: heads.version,
            items: accounts,
            objectives: Vec::new(),
        },
    )
}
