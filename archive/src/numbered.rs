//! Manifests in a bucket, which has no locks: each is an object of its own, `commits/N.json`, and the one with the greatest number holds.
//!
//! N is made on condition that it is not there. So of two processes that both go on from N - 1 one makes it, and the other hears that it
//! has lost. Old ones are removed, and so the name of a number can be free again; whoever has made one looks whether there is
//! a greater one, and has lost where there is: it slept while others went on.

use std::io;

use crate::objects::Objects;

/// The folder. Not that of checkpoints, which may have the same prefix.
pub const FOLDER: &str = "commits";
/// So many are kept: the one that holds, and the one before it for whoever has just listed them.
const KEPT: u64 = 2;
/// Times that the newest may be removed between a listing and a read.
const LOOKS: usize = 20;

/// The name of a manifest.
pub fn name(number: u64) -> String {
    format!("{FOLDER}/{number:020}.json")
}

/// The numbers that are there, the least first.
fn numbers(objects: &dyn Objects) -> io::Result<Vec<u64>> {
    let number = |name: &String| name.strip_suffix(".json")?.parse().ok();
    let mut numbers: Vec<u64> = objects.list(FOLDER)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The manifest that holds, with its number.
pub fn newest(objects: &dyn Objects) -> io::Result<Option<(u64, Vec<u8>)>> {
    for _ in 0..LOOKS {
        let Some(number) = numbers(objects)?.pop() else { return Ok(None) };
        match objects.read(&name(number)) {
            // Removed since it was listed: there are newer ones.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return Ok(Some((number, read?))),
        }
    }
    Err(io::Error::other("manifests are replaced faster than they can be read; try again"))
}

/// Makes the manifest of this number, and removes those that are too old. `false`: another process has made it, or a greater one. The same
/// again after a failure is no other manifest.
pub fn create(objects: &dyn Objects, number: u64, bytes: &[u8]) -> io::Result<bool> {
    let name = name(number);
    let created = objects.create(&name, "next", bytes);
    let taken = matches!(&created, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
    if !taken {
        created?;
    }
    let there = numbers(objects)?;
    match there.last() {
        Some(last) if taken && *last >= number => return Ok(false),
        // S3 says so, too, while another PUT of that name is under way, which may come to nothing.
        _ if taken => return Err(io::Error::other(format!("{name} is said to be taken, and is not there"))),
        Some(last) if *last > number => {
            objects.remove(&name)?;
            return Ok(false);
        }
        _ => {}
    }
    for old in there.into_iter().filter(|old| old + KEPT <= number) {
        if let Err(error) = objects.remove(&self::name(old)) {
            tracing::warn!(number = old, %error, "an old manifest of the archive was not removed; the next commit does it");
        }
    }
    Ok(true)
}
