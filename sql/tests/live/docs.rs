//! The questions of docs/sql.md: each is asked as it stands, and has the columns that the document shows; those to the past also have its
//! very rows. `UPDATE_GOLDEN=1` writes what was answered into the document.

use std::path::{Path, PathBuf};

use crate::harness::{ok, sql};

/// Where the questions to the past begin.
const PAST: &str = "## Ten questions to the past";

/// A question of the document.
pub struct Question {
    /// In SQL.
    pub sql: String,
    /// The table that is shown, in Markdown.
    shown: String,
    /// Whether it is one to the past.
    past: bool,
}

impl Question {
    /// The names of the columns that are shown.
    pub fn columns(&self) -> Vec<&str> {
        let head = self.shown.lines().next().unwrap_or_else(|| panic!("no table below\n{}", self.sql));
        head.trim_matches('|').split('|').map(str::trim).collect()
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md")
}

/// All questions, in order.
pub fn questions() -> Vec<Question> {
    let text = std::fs::read_to_string(document()).expect("docs/sql.md");
    let past = text.find(PAST).expect("questions to the past");
    let begins = text.match_indices("```sql\n").map(|(at, mark)| (at, at + mark.len()));
    let questions = begins.map(|(at, begin)| {
        let (sql, rest) = text[begin..].split_once("```\n```\n").expect("a table below");
        let shown = rest.split("```").next().expect("an end").to_owned();
        Question { sql: sql.to_owned(), shown, past: at > past }
    });
    questions.collect()
}

/// A result for people as a table in Markdown.
fn markdown(result: &str) -> String {
    let lines: Vec<&str> = result.lines().filter(|line| line.starts_with(['|', '+'])).collect();
    let [_, rows @ .., _] = &lines[..] else { panic!("no table: {result}") };
    let row = |line: &&str| match line.strip_prefix('+') {
        Some(_) => line.replace('+', "|") + "\n",
        None => format!("{line}\n"),
    };
    rows.iter().map(row).collect()
}

/// Asks all of them of the service of `DIR/store`.
pub fn holds(dir: &Path) {
    let questions = questions();
    assert_eq!(questions.iter().filter(|question| question.past).count(), 10);
    assert_eq!(questions.len(), 20);
    let mut args = vec!["--store", "store"];
    questions.iter().for_each(|question| args.extend(["-c", question.sql.as_str()]));
    let answered = ok(sql(dir, &args));
    // Each ends with the number of its rows.
    let mut answers: Vec<String> = vec![String::new()];
    for line in answered.lines() {
        let last = answers.last_mut().expect("one");
        if line.starts_with(['|', '+']) {
            last.push_str(line);
            last.push('\n');
        } else {
            answers.push(String::new());
        }
    }
    answers.pop();
    assert_eq!(answers.len(), questions.len(), "{answered}");
    let answers: Vec<String> = answers.iter().map(|answer| markdown(answer)).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let mut text = std::fs::read_to_string(document()).expect("docs/sql.md");
        for (question, answer) in questions.iter().zip(&answers) {
            let old = format!("{}```\n```\n{}```", question.sql, question.shown);
            let new = format!("{}```\n```\n{answer}```", question.sql);
            assert!(text.contains(&old));
            text = text.replace(&old, &new);
        }
        std::fs::write(document(), text).expect("written");
        return;
    }
    for (question, answer) in questions.iter().zip(&answers) {
        let asked = Question { sql: String::new(), shown: answer.clone(), past: false };
        assert_eq!(question.columns(), asked.columns(), "{}", question.sql);
        assert!(answer.lines().count() > 2, "no rows show nothing: {}", question.sql);
        if question.past {
            assert_eq!(&question.shown, answer, "{}\nUPDATE_GOLDEN=1 writes it anew", question.sql);
        }
    }
}
