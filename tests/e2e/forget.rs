//! Promise 4, seen from outside: what was taken back or forgotten leaves no byte.
//!
//! Both logs have the same epochs: each event that is left out of one of them shares its minute with another that is in
//! both. Lists are history of the moment they were made, so the story happens after the world's end, where only the person
//! whose click it is has a new list; then an hour passes, everything is published, and somebody else has a new list.
//! An opening click has the hour's baselines published before the story: what is published is history, too. So are the
//! weights of the heads, which also learned from what *others* saw meanwhile; here they stand still. (That a row's own example
//! is taken out of them is checked against a batch computation at every epoch in `operators/tests/graph`.)

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::{number, replay, same};
use crate::world::{add_records, copy_log, in_order, read, world};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

struct Story {
    dir: tempfile::TempDir,
    /// The first minute of an hour in which the world is over.
    begin: u64,
    user: Json,
    other: Json,
    videos: Vec<Json>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        world(dir.path(), seed, 1_000);
        let views = in_order(&read(dir.path(), "log", "interactions"));
        let last = views.iter().map(|view| number(&view["event_time"])).max().expect("views");
        let user = views[300]["user_id"].clone();
        let other =
            views.iter().map(|v| v["user_id"].clone()).find(|other| *other != user).expect("two users");
        let mut videos: Vec<Json> = views
            .iter()
            .filter(|v| v["user_id"] != user && v["user_id"] != other)
            .map(|v| v["video_id"].clone())
            .collect();
        videos.sort_by_key(number);
        videos.dedup();
        Self { dir, begin: (last / HOUR + 2) * HOUR, user, other, videos }
    }

    fn view(&self, id: u64, minute: u64, video: usize) -> Json {
        json!({"event_id": 500_000 + id, "event_time": self.begin + minute * MINUTE + id, "user_id": self.user,
               "video_id": self.videos[video], "watch_ms": 20_000, "duration_ms": 20_000})
    }

    fn like(&self) -> Json {
        let mut like = self.view(2, 1, 5);
        for signal in ["like", "share", "follow"] {
            like[signal] = json!(true);
        }
        like
    }

    /// Runs the world and these interactions and deletes; the dump.
    fn tell(&self, name: &str, views: &[Json], deletes: &[Json]) -> String {
        let dir: &Path = self.dir.path();
        copy_log(dir, "log", name);
        let mut views = [&[self.view(0, 0, 2)], views].concat();
        let mut later = self.view(9, 75, 8);
        later["user_id"] = self.other.clone();
        views.push(later);
        add_records(dir, name, "interactions", "part-00001.jsonl", &views);
        if !deletes.is_empty() {
            add_records(dir, name, "deletes", "part-00001.jsonl", deletes);
        }
        // Lists are remade for who acts; the refresh of idle people's lists would show what was known in between.
        let config = format!("{name}.toml");
        std::fs::write(dir.join(&config), "[feed]\nrefresh_after = \"30d\"\n[learning]\nenabled = false\n")
            .expect("written");
        let store = format!("{name}-store");
        let args = ["run", "--config", &config, "--input", name, "--store", &store, "--once", "--quiet"];
        crate::harness::ok(dir, &args);
        crate::harness::dump(dir, &store)
    }
}

#[test]
fn an_unlike_leaves_no_byte_of_the_like() {
    let story = Story::new(41);
    let before = story.view(1, 1, 3);
    let between = story.view(3, 4, 4);
    let after = story.view(4, 8, 6);
    let mut unlike = story.view(2, 1, 5);
    unlike["revision"] = json!(1);
    let taken_back = story.tell(
        "taken-back",
        &[before.clone(), story.like(), between.clone(), unlike.clone(), after.clone()],
        &[],
    );
    let never = story.tell("never", &[before.clone(), between.clone(), unlike, after.clone()], &[]);
    same(&never, &taken_back, "never liked, and liked and taken back");
    let liked = story.tell("liked", &[before, story.like(), between, after], &[]);
    assert!(liked != never, "a like that changes nothing proves nothing");
}

#[test]
fn a_deleted_interaction_leaves_no_byte() {
    let story = Story::new(42);
    let (before, between, after) = (story.view(1, 1, 3), story.view(3, 4, 4), story.view(4, 8, 6));
    let delete = json!({"event_id": 9_000, "event_time": story.begin + 4 * MINUTE, "target": "interaction",
                        "user_id": story.user, "target_event_id": 500_002});
    let delete = [delete];
    let deleted =
        story.tell("deleted", &[before.clone(), story.like(), between.clone(), after.clone()], &delete);
    let never = story.tell("never", &[before.clone(), between.clone(), after.clone()], &delete);
    same(&never, &deleted, "never seen, and seen and deleted");
    let kept = story.tell("kept", &[before, story.like(), between, after], &[]);
    assert!(kept != never, "an interaction that changes nothing proves nothing");
}

#[test]
fn a_delete_that_comes_first_holds_too() {
    let story = Story::new(43);
    let (before, after) = (story.view(1, 1, 3), story.view(4, 8, 6));
    let delete = [json!({"event_id": 9_000, "event_time": story.begin, "target": "interaction",
                         "user_id": story.user, "target_event_id": 500_002})];
    let late = story.tell("late", &[before.clone(), story.like(), after.clone()], &delete);
    let never = story.tell("never", &[before, after], &delete);
    same(&never, &late, "never seen, and deleted before it came");
    // The same log again, as a check that equal dumps are not a matter of one lucky run.
    same(&never, &replay_again(&story), "a second run");
}

fn replay_again(story: &Story) -> String {
    replay_with_config(story.dir.path(), "never", "again")
}

fn replay_with_config(dir: &Path, log: &str, store: &str) -> String {
    let config = format!("{log}.toml");
    let args =
        ["run", "--config", &config, "--input", log, "--store", store, "--workers", "2", "--once", "--quiet"];
    crate::harness::ok(dir, &args);
    crate::harness::dump(dir, store)
}

#[test]
fn the_stories_have_something_to_tell() {
    let story = Story::new(44);
    let plain = replay(story.dir.path(), "log", "plain", "1");
    let told = story.tell("told", &[story.view(1, 1, 3), story.like()], &[]);
    let list =
        |dump: &str| crate::harness::records(dump).remove(&format!("feed:{}", story.user)).expect("a list");
    assert_ne!(list(&plain)["items"], list(&told)["items"]);
}
