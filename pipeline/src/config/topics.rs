//! The file that `interest.topics` names.

use std::sync::Arc;

use freshet_learning::Topics;

use super::keys::Refusal;

/// The key.
pub const KEY: &str = "interest.topics";

/// Reads the topics; `seed` is `graph.seed`, by which vectors are projected.
///
/// # Errors
/// What is wrong, and the remedy.
pub fn read(path: &str, seed: u64) -> Result<Arc<Topics>, Refusal> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        (
            format!("cannot be read: {error}"),
            "make it with `freshet train topics LOG --out FILE`, or remove the key: categories stand in"
                .to_owned(),
        )
    })?;
    let topics = Topics::from_json(&text)
        .map_err(|error| (error.to_string(), "name a file that `freshet train topics` wrote".to_owned()))?;
    if topics.seed != seed {
        return Err((
            format!("trained with graph.seed = {}, and here graph.seed = {seed}", topics.seed),
            "train anew with this configuration: `freshet train topics LOG --out FILE --config ...`"
                .to_owned(),
        ));
    }
    Ok(Arc::new(topics))
}
