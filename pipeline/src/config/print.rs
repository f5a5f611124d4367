//! The resolved configuration as TOML that reads back as itself.

use super::Config;
use super::keys::{KEYS, sections};

pub fn to_toml(config: &Config) -> String {
    let mut config = config.clone();
    let mut text = String::new();
    for section in sections() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let origin =
                config.origins.iter().find(|(name, _)| *name == key.name).map(|(_, place)| place.clone());
            let origin = origin.map_or_else(String::new, |place| format!("  # {place}"));
            let secret = key.holds_secret(&mut config);
            match key.get(&mut config) {
                Some(value) => {
                    text.push_str(&format!("{} = {value}{origin}\n", key.bare()));
                    if secret {
                        text.push_str(&format!("# {} holds more, which is not shown\n", key.bare()));
                    }
                }
                None if secret => text.push_str(&format!("# {} is set, and not shown{origin}\n", key.bare())),
                None => text.push_str(&format!("# {} is unset: {}\n", key.bare(), key.about)),
            }
        }
    }
    text.push_str(&super::experiments::to_toml(&config.params.experiments));
    text
}
