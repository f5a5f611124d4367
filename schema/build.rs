//! Compiles the `.proto` files with a Rust protobuf compiler, so that no `protoc` need be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    prost_build::Config::new()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]")
        .field_attribute("user_id", "#[serde(with = \"crate::ids::decimal\")]")
        .field_attribute("video_id", "#[serde(with = \"crate::ids::decimal\")]")
        .field_attribute("creator_id", "#[serde(with = \"crate::ids::decimal\")]")
        .field_attribute("sound_id", "#[serde(with = \"crate::ids::decimal\")]")
        .compile_fds(protox::compile(["proto/feed.proto"], ["proto"])?)?;
    prost_build::Config::new().compile_fds(protox::compile(["proto/events.proto"], ["proto"])?)?;
    Ok(())
}
