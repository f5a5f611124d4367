//! A checkpoint whose checksums hold may still be of another release, or of somebody else: whatever its rows are, a start reads them or
//! says why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_operators::checkpoint::{Restored, definitions};
use freshet_operators::runtime::{Durable, start_durable};
use freshet_schema::hash::SHARDS;
use freshet_schema::{Epoch, Millis};
use proptest::prelude::*;

use crate::world::params;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_rows_make_a_start_panic(
        cut in any::<prop::sample::Index>(),
        shard in 0..=SHARDS,
        rows in 0u64..6,
        bytes in prop::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..120),
    ) {
        let params = params();
        let cuts = definitions(&params);
        let block = ((cuts[cut.index(cuts.len())].name.to_owned(), shard), vec![(rows, bytes)]);
        let blocks = BTreeMap::from([block]);
        let Ok(restored) = Restored::open(Epoch(4), Millis(1_000_000), Box::new(blocks)) else { return Ok(()) };
        let durable = Durable { restored: Some(Arc::new(restored)), taken: None };
        if let Ok((job, _outputs)) = start_durable(1, &params, false, durable) {
            prop_assert!(job.finish().is_ok(), "a worker panicked");
        }
    }
}
