//! What an arm may set: parameters that rank, re-rank or give out places. Each is read where a list is made and nowhere else, so two
//! users of one graph may have different ones. Whatever decides what is kept (windows, quotas of pools, lengths) is none of them.

use crate::params::Params;

/// A value of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A real number.
    Real(f64),
    /// A count.
    Count(usize),
    /// Milliseconds.
    Ms(u64),
}

/// Where a setting is in the parameters.
enum Place<'a> {
    Real(&'a mut f64),
    Count(&'a mut usize),
    Ms(&'a mut u64),
}

/// A parameter that an arm may set.
pub struct Setting {
    /// The configuration's key.
    pub key: &'static str,
    place: fn(&mut Params) -> Place<'_>,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key)
    }
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

macro_rules! settings {
    ($($key:literal => $kind:ident $($field:ident).+;)*) => {
        /// All settings.
        pub static SETTINGS: &[Setting] =
            &[$(Setting { key: $key, place: |params| Place::$kind(&mut params.$($field).+) }),*];
    };
}

settings! {
    "ranking.watch" => Real ranking.watch;
    "ranking.completion" => Real ranking.completion;
    "ranking.rewatch" => Real ranking.rewatch;
    "ranking.continuation" => Real ranking.continuation;
    "ranking.fast_skip" => Real ranking.fast_skip;
    "ranking.fatigue" => Real ranking.fatigue;
    "ranking.light" => Count ranking.light;
    "feed.per_category" => Count feed.per_category;
    "feed.category_window" => Count feed.category_window;
    "feed.no_repeat_last" => Count feed.no_repeat_last;
    "feed.new_user_popular" => Real feed.new_user_popular;
    "exploration.slots" => Count exploration.slots;
    "exploration.alpha" => Real exploration.alpha;
    "exploration.epsilon" => Real exploration.epsilon;
    "rerank.novelty_share" => Real rerank.novelty_share;
    "rerank.novelty_max_share" => Real rerank.novelty_max_share;
    "rerank.novelty_every" => Count rerank.novelty_every;
    "rerank.novelty_head" => Count rerank.novelty_head;
    "rerank.novelty_last" => Count rerank.novelty_last;
    "rerank.novelty_below" => Real rerank.novelty_below;
    "rerank.draw_pool" => Count rerank.draw_pool;
    "rerank.similarity_cap" => Real rerank.similarity_cap;
    "rerank.creator_decay" => Real rerank.creator_decay;
    "rerank.fatigue_last" => Count rerank.fatigue_last;
    "rerank.fatigue_half_life" => Ms rerank.fatigue_half_life;
    "rerank.dislike_half_life" => Ms rerank.dislike_half_life;
    "rerank.dislike_weight" => Real rerank.dislike_weight;
    "rerank.fatigue_prior" => Real rerank.fatigue_prior;
    "rerank.fatigue_strong" => Real rerank.fatigue_strong;
    "rerank.taste_boost" => Real rerank.taste_boost;
    "rerank.taste_full" => Count rerank.taste_full;
    "rerank.taste_until" => Count rerank.taste_until;
}

/// The setting of a configuration key; `None` where no arm may set it.
#[must_use]
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

impl Setting {
    /// Writes a value into the parameters. A value of another kind than the setting's writes nothing; there is none where it came
    /// from [`Setting::get`].
    pub fn set(&self, params: &mut Params, value: Value) {
        match ((self.place)(params), value) {
            (Place::Real(place), Value::Real(value)) => *place = value,
            (Place::Count(place), Value::Count(value)) => *place = value,
            (Place::Ms(place), Value::Ms(value)) => *place = value,
            (Place::Real(_) | Place::Count(_) | Place::Ms(_), _) => {
                debug_assert!(false, "{}: a value of another kind", self.key);
            }
        }
    }

    /// Its value in some parameters.
    #[must_use]
    pub fn get(&self, params: &Params) -> Value {
        // One list of places serves both ways; this one is for configurations, not for lists.
        match (self.place)(&mut params.clone()) {
            Place::Real(place) => Value::Real(*place),
            Place::Count(place) => Value::Count(*place),
            Place::Ms(place) => Value::Ms(*place),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Count(value) => write!(f, "{value}"),
            Self::Ms(value) => write!(f, "{value}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_a_place_of_its_own() {
        let defaults = Params::default();
        for setting in SETTINGS {
            let other = match setting.get(&defaults) {
                Value::Real(value) => Value::Real(value + 1.0),
                Value::Count(value) => Value::Count(value + 1),
                Value::Ms(value) => Value::Ms(value + 1),
            };
            let mut params = defaults.clone();
            setting.set(&mut params, other);
            let changed: Vec<&str> =
                SETTINGS.iter().filter(|s| s.get(&params) != s.get(&defaults)).map(|s| s.key).collect();
            assert_eq!(changed, [setting.key]);
        }
    }
}
