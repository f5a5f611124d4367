//! What kinds of attack a generated world can have, and what is true of them.
//!
//! Attackers come on top of the world: they have numbers of their own, and not a byte of what honest users do differs with them. So what
//! a pipeline makes of a world with and without an attack can be compared. `campaign` says how each kind goes about it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// How attackers go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackKind {
    /// Programs that flick through videos by the second and like what they were paid for without watching it.
    Bots,
    /// A few accounts that watch and like everything of one creator, and skip nothing.
    Farming,
    /// Many accounts that behave as people do, and like the same few videos within the same minutes.
    Ring,
    /// Creators who upload near-duplicates by the dozen, each liked at once by a few accounts of their own.
    SpamUploads,
}

impl AttackKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Bots, Self::Farming, Self::Ring, Self::SpamUploads];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bots => "bots",
            Self::Farming => "farming",
            Self::Ring => "ring",
            Self::SpamUploads => "spam-uploads",
        }
    }

    /// Accounts for each million users unless a size is given, and the fewest with which it can be done.
    fn usual(self) -> (u64, u64) {
        match self {
            Self::Bots => (20_000, 5),
            Self::Farming => (10_000, 5),
            Self::Ring => (20_000, 12),
            Self::SpamUploads => (10_000, 4),
        }
    }
}

/// How large an attack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As usual for its kind: 1 or 2 accounts for 100 users, and at least a handful.
    Usual,
    /// So many accounts for each million users.
    Share(u64),
    /// So many accounts.
    Accounts(u64),
}

/// An attack on a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// How.
    pub kind: AttackKind,
    /// How large.
    pub size: Size,
}

impl Attack {
    /// An attack of the usual size.
    #[must_use]
    pub fn new(kind: AttackKind) -> Self {
        Self { kind, size: Size::Usual }
    }

    /// Accounts that take part, in a world of so many users.
    #[must_use]
    pub fn accounts(&self, users: u64) -> u64 {
        let (usual, least) = self.kind.usual();
        let share = |ppm: u64| (u128::from(users) * u128::from(ppm) / 1_000_000) as u64;
        match self.size {
            Size::Usual => share(usual).max(least),
            Size::Share(ppm) => share(ppm).max(least),
            Size::Accounts(accounts) => accounts,
        }
    }
}

impl FromStr for Attack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, size) = text.split_once('=').map_or((text, None), |(kind, size)| (kind, Some(size)));
        let Some(kind) = AttackKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
            let names: Vec<&str> = AttackKind::ALL.iter().map(|kind| kind.as_str()).collect();
            return Err(format!("there is no attack {kind:?}; there are {}", names.join(", ")));
        };
        let wrong = || {
            format!(
                "expected a number of accounts from 1 to 1000000, or a share of the users up to 100%, such as {}=2%",
                kind.as_str()
            )
        };
        let size = match size {
            None => Size::Usual,
            Some(size) => match size.strip_suffix('%') {
                Some(percent) => {
                    let percent: f64 = percent.parse().map_err(|_| wrong())?;
                    if !(percent > 0.0 && percent <= 100.0) {
                        return Err(wrong());
                    }
                    Size::Share((percent * 10_000.0).round() as u64)
                }
                None => {
                    let accounts = size.parse().ok().filter(|n| (1..=1_000_000).contains(n));
                    Size::Accounts(accounts.ok_or_else(wrong)?)
                }
            },
        };
        Ok(Self { kind, size })
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            Size::Usual => f.write_str(self.kind.as_str()),
            Size::Share(ppm) => write!(f, "{}={}%", self.kind.as_str(), ppm as f64 / 10_000.0),
            Size::Accounts(accounts) => write!(f, "{}={accounts}", self.kind.as_str()),
        }
    }
}

/// What is true of an attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttackTruth {
    /// How it was done.
    pub attack: AttackKind,
    /// The accounts that took part.
    pub users: Vec<u64>,
    /// The videos that it was done for. Whatever else its accounts watched is there to hide behind.
    pub videos: Vec<u64>,
    /// Interactions of its accounts.
    pub interactions: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_read_as_they_are_written() {
        for text in ["bots", "farming=12", "ring=2.5%", "spam-uploads=100%"] {
            let attack: Attack = text.parse().expect("an attack");
            assert_eq!(attack.to_string(), text);
        }
        assert_eq!("ring=2.5%".parse::<Attack>().expect("an attack").accounts(10_000), 250);
        assert_eq!("ring".parse::<Attack>().expect("an attack").accounts(10), 12);
        assert_eq!("bots=3".parse::<Attack>().expect("an attack").accounts(10), 3);
    }

    #[test]
    fn what_is_no_attack_is_refused_with_what_there_is() {
        for (text, says) in [
            ("bot", "there are bots, farming, ring, spam-uploads"),
            ("bots=0", "from 1 to"),
            ("bots=-1%", "such as bots=2%"),
            ("bots=NaN%", "such as bots=2%"),
            ("ring=", "such as ring=2%"),
            ("ring=101%", "up to 100%"),
        ] {
            let why = text.parse::<Attack>().expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
