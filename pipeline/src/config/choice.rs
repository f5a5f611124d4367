//! Keys that take one of a few words.

use freshet_kafka::Payload;
use freshet_operators::params::{Explore, ExploreArms};

use super::{InputSource, LiveClock};

/// A value that is one of a few words.
pub trait Choice {
    /// The words.
    fn words(&self) -> &'static [&'static str];
    /// The word of the value.
    fn word(&self) -> &'static str;
    /// Takes the value of a word; `false` where it is none of them.
    fn choose(&mut self, word: &str) -> bool;
}

macro_rules! choice {
    ($type:ty: $($word:literal => $value:path),* $(,)?) => {
        impl Choice for $type {
            fn words(&self) -> &'static [&'static str] {
                &[$($word),*]
            }
            fn word(&self) -> &'static str {
                match self {
                    $($value => $word),*
                }
            }
            fn choose(&mut self, word: &str) -> bool {
                match word {
                    $($word => *self = $value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

choice!(InputSource: "files" => InputSource::Files, "kafka" => InputSource::Kafka);
choice!(LiveClock: "auto" => LiveClock::Auto, "wall" => LiveClock::Wall, "shifted" => LiveClock::Shifted);
choice!(Explore: "off" => Explore::Off, "linucb" => Explore::Linucb, "epsilon-greedy" => Explore::EpsilonGreedy, "random" => Explore::Random);
choice!(ExploreArms: "categories" => ExploreArms::Categories, "cohorts" => ExploreArms::Cohorts);
choice!(Payload: "json" => Payload::Json, "protobuf" => Payload::Protobuf);
