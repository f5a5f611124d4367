//! The built-in content embedder: an upload's words become a vector of [`CONTENT_DIMS`] without any trained model, so that
//! a demo, a test and a fresh deployment have content vectors from the first upload.
//!
//! Each feature (hashtag, caption word, character trigram, category, sound, creator) has a sparse pseudo-random vector
//! with [`SIGNS`] entries of +1 or -1, drawn from its seeded hash; a video is the weighted sum, normalised. Two videos'
//! expected cosine is then their weighted share of common features (feature hashing with signs: Weinberger et al. 2009;
//! sparse signs: Achlioptas 2003). Everything is integer until the last division, so the order of features is no matter.

use freshet_schema::Upload;
use freshet_schema::hash;

/// Dimensions of a content vector (seed 004).
pub const CONTENT_DIMS: usize = 768;

/// The embedding space of the built-in embedder. A change of the weights or of the hashing is a new space.
pub const SPACE: &str = "freshet-hash-1";

/// Non-zero entries of a feature's vector.
const SIGNS: u64 = 16;

const HASHTAG: i32 = 100;
const CATEGORY: i32 = 120;
const SOUND: i32 = 50;
const CREATOR: i32 = 60;
const WORD: i32 = 40;
const TRIGRAM: i32 = 10;

/// At most so many words of a caption count: a caption is no place to buy similarity.
const MAX_WORDS: usize = 40;

/// The content vector of an upload, of length 1, from its text fields; the zero vector where it has none.
#[must_use]
pub fn embed(upload: &Upload, seed: u64) -> Vec<f32> {
    let mut sum = vec![0i32; CONTENT_DIMS];
    let mut add = |kind: u64, id: u64, weight: i32| {
        let feature = hash::mix(seed, &[kind, id]);
        for i in 0..SIGNS {
            let draw = hash::mix(feature, &[i]);
            let dim = (draw >> 1) as usize % CONTENT_DIMS;
            sum[dim] += if draw & 1 == 0 { weight } else { -weight };
        }
    };
    for tag in &upload.hashtags {
        add(0, hash::text(&tag.to_lowercase()), HASHTAG);
    }
    if let Some(category) = &upload.category {
        add(1, hash::text(category), CATEGORY);
    }
    if let Some(sound) = upload.sound_id {
        add(2, sound.0, SOUND);
    }
    add(3, upload.creator_id.0, CREATOR);
    for word in words(&upload.caption) {
        add(4, hash::text(&word), WORD);
        let letters: Vec<char> = word.chars().collect();
        for trigram in letters.windows(3) {
            add(5, hash::text(&trigram.iter().collect::<String>()), TRIGRAM);
        }
    }
    let square: i64 = sum.iter().map(|x| i64::from(*x) * i64::from(*x)).sum();
    let norm = (square as f64).sqrt().max(1.0);
    sum.iter().map(|x| (f64::from(*x) / norm) as f32).collect()
}

/// The caption's distinct words in lower case. Scripts without spaces (Chinese, Japanese) give one long word, whose
/// trigrams carry it.
fn words(caption: &str) -> Vec<String> {
    let mut words: Vec<String> = caption
        .to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| w.chars().count() > 1)
        .take(MAX_WORDS)
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::CreatorId;

    fn upload(creator: u64, caption: &str, tags: &[&str], category: Option<&str>) -> Upload {
        Upload {
            creator_id: CreatorId(creator),
            caption: caption.to_owned(),
            hashtags: tags.iter().map(|t| (*t).to_owned()).collect(),
            category: category.map(str::to_owned),
            ..Upload::default()
        }
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn alike_content_is_nearer_than_unlike_content() {
        let cat = embed(&upload(1, "my cat sleeps", &["cat", "pets"], Some("animals")), 1);
        let cat2 = embed(&upload(2, "a cat jumps", &["Cat", "funny"], Some("animals")), 1);
        let car = embed(&upload(3, "engine sound", &["cars"], Some("motors")), 1);
        assert!(cosine(&cat, &cat2) > 0.3, "{}", cosine(&cat, &cat2));
        assert!(cosine(&cat, &car).abs() < 0.2, "{}", cosine(&cat, &car));
        assert!((cosine(&cat, &cat) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn order_of_hashtags_does_not_matter() {
        let a = embed(&upload(1, "x", &["one", "two"], None), 1);
        let b = embed(&upload(1, "x", &["two", "one"], None), 1);
        assert_eq!(a, b);
    }
}
