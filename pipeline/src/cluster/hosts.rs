//! The file that names the processes of a cluster: `HOST:PORT`, one a line, the first process first.

use std::path::Path;

use crate::config::{Mistake, Mistakes};

/// More processes than there are logical shards would have nothing to do.
pub const MOST: usize = freshet_schema::hash::SHARDS as usize;

/// Reads it.
///
/// # Errors
/// Every mistake in it, each with its line.
pub fn read(path: &Path) -> Result<Vec<String>, Mistakes> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        one(
            &file,
            "",
            format!("cannot be read: {error}"),
            "name an existing file with HOST:PORT on each line",
        )
    })?;
    parse(&file, &text)
}

/// Whether there is a process of this number.
///
/// # Errors
/// Where there is none.
pub fn check_process(path: &Path, hosts: &[String], process: usize) -> Result<(), Mistakes> {
    if process < hosts.len() {
        return Ok(());
    }
    let what = format!("{} has {} processes, from 0 to {}", path.display(), hosts.len(), hosts.len() - 1);
    let value = process.to_string();
    Err(one("--process", &value, what, "give the number of this machine's line, from 0"))
}

fn one(place: &str, value: &str, what: String, remedy: &str) -> Mistakes {
    Mistakes(vec![mistake(place.to_owned(), value, what, remedy)])
}

fn mistake(place: String, value: &str, what: String, remedy: &str) -> Mistake {
    let key = if value.is_empty() { String::new() } else { "process".to_owned() };
    Mistake { place, key, value: value.to_owned(), what, remedy: remedy.to_owned() }
}

fn parse(file: &str, text: &str) -> Result<Vec<String>, Mistakes> {
    let mut hosts: Vec<String> = Vec::new();
    let mut mistakes = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let place = || format!("{file}:{number}");
        let value = format!("{line:?}");
        let port = line
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .and_then(|(_, port)| port.parse().ok());
        if port.is_none_or(|port: u16| port == 0) || line.contains(char::is_whitespace) {
            let what = "is no address".to_owned();
            mistakes.push(mistake(place(), &value, what, "write HOST:PORT, such as 10.0.0.7:4400"));
        } else if hosts.iter().any(|host| host == line) {
            let what = "stands there twice".to_owned();
            mistakes.push(mistake(place(), &value, what, "give each process a port of its own"));
        }
        hosts.push(line.to_owned());
    }
    if hosts.is_empty() || hosts.len() > MOST {
        let what = format!("names {} processes", hosts.len());
        let remedy = format!("name from 1 to {MOST}, HOST:PORT on each line");
        mistakes.push(mistake(file.to_owned(), "", what, &remedy));
    }
    if mistakes.is_empty() { Ok(hosts) } else { Err(Mistakes(mistakes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_processes_and_the_rest_is_for_people() {
        let text = "# ours\n10.0.0.1:4400\n\n  feed-2.example:4400  # the second\n[::1]:4401\n";
        let hosts = parse("hosts.txt", text).expect("no mistake");
        assert_eq!(hosts, ["10.0.0.1:4400", "feed-2.example:4400", "[::1]:4401"]);
        check_process(Path::new("hosts.txt"), &hosts, 2).expect("there is one");
        let refused =
            check_process(Path::new("hosts.txt"), &hosts, 3).expect_err("there is none").to_string();
        assert!(refused.contains("process = 3: hosts.txt has 3 processes, from 0 to 2"), "{refused}");
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "a:1\nb\nc:0\n:7\na:1\nd:70000\nx y:1\n";
        let told = parse("hosts.txt", text).expect_err("mistakes").to_string();
        for line in [2, 3, 4, 6, 7] {
            assert!(told.contains(&format!("hosts.txt:{line}: process = ")), "{line}\n{told}");
        }
        assert!(told.contains("hosts.txt:5: process = \"a:1\": stands there twice"), "{told}");
        assert!(told.contains("6 mistakes"), "{told}");
        let none = parse("hosts.txt", "# nobody\n").expect_err("nobody").to_string();
        assert!(none.contains("hosts.txt: names 0 processes\n    remedy: name from 1 to 64"), "{none}");
        let missing = read(Path::new("no/such/file")).expect_err("no file").to_string();
        assert!(missing.contains("no/such/file: cannot be read"), "{missing}");
    }
}
