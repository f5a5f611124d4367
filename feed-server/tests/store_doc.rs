//! The program in `docs/store.md` prints what the page says, run by Python against a server.

mod support;

use std::process::Command;

use support::{Server, world};

/// The first fenced block of a language.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let begin = page.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
    &page[begin..begin + page[begin..].find("```").unwrap()]
}

#[test]
fn the_reader_in_the_documentation_works() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/store.md")).unwrap();
    let server = Server::start(world(), |_| {});
    let run = |user: &str| {
        let address = format!("http://{}", server.address);
        Command::new("python3").args(["-c", block(&page, "python"), &address, user]).output()
    };
    let Ok(output) = run("1") else {
        eprintln!("SKIPPED: the program in docs/store.md was not run, because python3 is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), block(&page, "text"));
    assert!(
        String::from_utf8(run("4242").unwrap().stdout).unwrap().starts_with("new-user-1 epoch 5 21 items")
    );
}
