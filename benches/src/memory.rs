//! How fast this machine's memory is at this moment: a list is made of some thousand reads from everywhere, and on a shared machine
//! the same build makes a third fewer of them an hour later. A figure in lists a CPU-second means little without it.

use std::hint::black_box;

use crate::process::own_cpu;

/// Places of the walk, 8 bytes each: more than a core's share of any cache.
const PLACES: usize = 8 << 20;
const STEPS: usize = 4 << 20;

/// CPU nanoseconds of a read whose place is known only when the read before is done, in 64 MiB.
///
/// # Errors
/// Where the system does not say what CPU was used.
pub fn dependent_read_ns() -> anyhow::Result<f64> {
    let next = cycle();
    let before = own_cpu()?;
    let mut at = 0;
    for _ in 0..STEPS {
        at = next[at as usize];
    }
    black_box(at);
    Ok((own_cpu()? - before) / STEPS as f64 * 1e9)
}

/// One cycle through all places, at random (Sattolo 1986).
fn cycle() -> Vec<u64> {
    let mut next: Vec<u64> = (0..PLACES as u64).collect();
    for place in (1..PLACES).rev() {
        next.swap(place, freshet_schema::hash::mix(1, &[place as u64]) as usize % place);
    }
    next
}
