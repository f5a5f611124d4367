//! Two workers against one, on the features' world. The time a job takes is what workers are for; the CPU shows what
//! their exchange costs. The source and the sink are threads of their own, so on two cores two workers do not halve it.

use crate::Bench;
use crate::features;
use crate::report::{Figure, Target};

const GROUP: &str = "workers";

/// Measures both.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let world = features::world(bench, 1_000_000);
    let one = features::replay(bench, world, 1, features::LONG_EPOCHS)?;
    let two = features::replay(bench, world, 2, features::LONG_EPOCHS)?;
    Ok(vec![
        Figure::new(GROUP, "wall time, one worker against two", one.wall / two.wall, "ratio", Target::None)
            .note(format!("{world}: {:.1} s against {:.1} s", one.wall, two.wall)),
        Figure::new(GROUP, "CPU, two workers against one", two.cpu / one.cpu, "ratio", Target::None)
            .note(format!("{:.1} CPU-s against {:.1} CPU-s", two.cpu, one.cpu)),
    ])
}
