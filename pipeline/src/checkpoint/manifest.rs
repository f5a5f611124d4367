//! The manifest: what belongs to a checkpoint, and all that a start needs beside it.
//!
//! Its form is that of an archive's ([`sealed`]). It never changes after it was written.

use std::collections::BTreeMap;

use freshet_archive::sealed;
pub use freshet_archive::sealed::checksum_text;
use freshet_operators::checkpoint::Definition;
use freshet_schema::{Epoch, Generation, Millis};
use freshet_sources::epochs::Resume;
use serde::{Deserialize, Serialize};

/// The form of manifests and block files.
pub const FORMAT: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The release that wrote it.
    pub freshet: String,
    /// The run that wrote it.
    pub generation: Generation,
    /// The epoch at whose end the state was taken.
    pub epoch: Epoch,
    /// Where the input stood.
    pub input: Resume,
    /// The store's marker when everything up to the epoch was durable in it; none where nothing was ever written.
    pub store_marker: Option<Epoch>,
    /// When it was made, by the wall clock.
    pub made_at: Millis,
    /// Workers of the run.
    pub workers: usize,
    /// How long it took, from the order to the last file, in milliseconds.
    pub took_ms: u64,
    /// How long the workers stood still, the longest, in microseconds.
    pub stood_us: u64,
    /// Folder of the files, relative.
    pub folder: String,
    /// The cuts by name.
    pub cuts: BTreeMap<String, Cut>,
}

/// One cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The version of the form of its rows.
    pub codec: u32,
    /// What its content depends on.
    pub fingerprint: BTreeMap<String, String>,
    /// Rows.
    pub rows: u64,
    /// Bytes of the rows before they were compressed.
    pub row_bytes: u64,
    /// The file; none where the cut has no rows.
    pub file: Option<File>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the manifest's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// XXH3 of its content, hexadecimal.
    pub checksum: String,
}

impl Manifest {
    /// The name of the manifest of an epoch.
    #[must_use]
    pub fn name(epoch: Epoch) -> String {
        format!("{:020}.json", epoch.0)
    }

    /// The epoch of a manifest of this name.
    #[must_use]
    pub fn epoch_of(name: &str) -> Option<Epoch> {
        let digits = name.strip_suffix(".json").filter(|digits| digits.len() == 20)?;
        digits.parse().ok().map(Epoch)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.cuts.values().filter_map(|cut| cut.file.as_ref()).map(|file| file.bytes).sum()
    }

    /// The text of the file.
    ///
    /// # Panics
    /// Never: numbers and texts have a JSON form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        sealed::encode(self)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        sealed::decode(bytes, FORMAT)
    }

    /// How the cuts differ from what the present release and parameters would make, by name.
    #[must_use]
    pub fn mismatches(&self, definitions: &[Definition]) -> BTreeMap<String, String> {
        let mut mismatches = BTreeMap::new();
        for definition in definitions {
            let Some(cut) = self.cuts.get(definition.name) else {
                mismatches.insert(
                    definition.name.to_owned(),
                    "it has no such cut: what makes it was turned off, or is new in this release".to_owned(),
                );
                continue;
            };
            let mut differs = Vec::new();
            if cut.codec != definition.codec {
                differs.push(format!(
                    "its rows have form {}, and this release reads {}",
                    cut.codec, definition.codec
                ));
            }
            let none = String::from("not set");
            let keys = cut.fingerprint.keys().chain(definition.fingerprint.keys());
            for key in keys.collect::<std::collections::BTreeSet<_>>() {
                let (then, now) = (cut.fingerprint.get(key), definition.fingerprint.get(key));
                if then != now {
                    let (then, now) = (then.unwrap_or(&none), now.unwrap_or(&none));
                    differs.push(format!("{key} was {then} and is {now} now"));
                }
            }
            if !differs.is_empty() {
                mismatches.insert(definition.name.to_owned(), differs.join("; "));
            }
        }
        mismatches
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use freshet_sources::journal::{Base, Parameters};
    use freshet_sources::validate::Limits;

    use super::*;

    pub(crate) fn manifest(generation: u64, epoch: u64) -> Manifest {
        let parameters = Parameters {
            replay_epoch_ms: 1,
            min_event_time: Millis(0),
            max_event_time: Millis(9),
            max_future_skew_ms: 0,
            limits: Limits::default(),
        };
        Manifest {
            format: FORMAT,
            freshet: "0.1.0".to_owned(),
            generation: Generation(generation),
            epoch: Epoch(epoch),
            input: Resume { parameters, base: Base { epoch: Epoch(epoch), ..Base::default() } },
            store_marker: None,
            made_at: Millis(5),
            workers: 1,
            took_ms: 1,
            stood_us: 1,
            folder: String::new(),
            cuts: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_is_read_again_and_a_changed_one_is_not() {
        let manifest = manifest(3, 42);
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Manifest::decode(&changed).is_err(), "byte {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut next = super::tests::manifest(3, 42);
        next.format = 2;
        let error = Manifest::decode(&next.encode()).unwrap_err();
        assert!(error.contains("format 2") && error.contains("reads 1"), "{error}");
        assert_eq!(Manifest::epoch_of(&Manifest::name(Epoch(42))), Some(Epoch(42)));
        assert_eq!(Manifest::epoch_of("42.json"), None);
    }

    #[test]
    fn what_differs_is_said() {
        let cut = |value: &str| Cut {
            codec: 1,
            fingerprint: [("a".to_owned(), value.to_owned())].into(),
            rows: 0,
            row_bytes: 0,
            file: None,
        };
        let mut manifest = manifest(1, 1);
        manifest.cuts = [("same".to_owned(), cut("1")), ("other".to_owned(), cut("2"))].into();
        let definition =
            |name, codec| Definition { name, codec, fingerprint: [("a".to_owned(), "1".to_owned())].into() };
        let found =
            manifest.mismatches(&[definition("same", 1), definition("other", 2), definition("new", 1)]);
        assert_eq!(found.len(), 2);
        assert_eq!(found["other"], "its rows have form 1, and this release reads 2; a was 2 and is 1 now");
        assert!(found["new"].contains("no such cut"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            at in proptest::prelude::any::<proptest::sample::Index>(),
            other in proptest::prelude::any::<u8>(),
        ) {
            proptest::prop_assert!(Manifest::decode(&bytes).is_err());
            let whole = manifest(3, 17).encode();
            let mut changed = whole.clone();
            *at.get_mut(&mut changed) = other;
            // A byte that is another one is noticed, wherever it stands.
            proptest::prop_assert_eq!(Manifest::decode(&changed).is_ok(), changed == whole);
            proptest::prop_assert!(Manifest::decode(&whole[..at.index(whole.len())]).is_err());
        }
    }
}
