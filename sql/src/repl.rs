//! The prompt: lines with history and completion, statements that end with a semicolon, and a few commands.

use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::time::Instant;

use datafusion::prelude::SessionContext;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use tokio::runtime::Runtime;

use crate::history::describe::Described;
use crate::output::{self, Format};
use crate::query::words;

const HELP: &str = "\
A statement ends with a semicolon and may take several lines. Ctrl-C ends a query, Ctrl-D the program.
  \\d          the tables
  \\d TABLE    the columns of a table
  \\f FORMAT   table, csv or json
  \\q          end";

const WORDS: &[&str] = &[
    "select",
    "from",
    "where",
    "group by",
    "order by",
    "limit",
    "join",
    "using",
    "having",
    "distinct",
    "count(*)",
    "sum(",
    "avg(",
    "min(",
    "max(",
    "desc",
    "between",
    "like",
    "union all",
    "with",
    "explain analyze",
    "freshet_epoch()",
    "date_trunc(",
    "now()",
];

/// Completes the names of tables and columns, and some words of SQL.
struct Names(Vec<String>);

impl Names {
    fn of(tables: &[Described]) -> Self {
        let columns = tables.iter().flat_map(|table| table.columns.iter().map(|column| column.name.clone()));
        // Behind the schema's name, too.
        let tables = tables.iter().flat_map(|table| {
            let bare = table.name.rsplit_once('.').map(|(_, name)| name.to_owned());
            [Some(table.name.clone()), bare].into_iter().flatten()
        });
        let mut names: Vec<String> =
            WORDS.iter().map(|word| (*word).to_owned()).chain(tables).chain(columns).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.0, line, at))
    }
}

/// Where the word before `at` begins, and the names that begin with it.
fn complete(names: &[String], line: &str, at: usize) -> (usize, Vec<String>) {
    let before = line.get(..at).unwrap_or(line);
    let begin = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |place| place + 1);
    let word = before[begin..].to_lowercase();
    let found = if word.is_empty() {
        Vec::new()
    } else {
        names.iter().filter(|name| name.starts_with(&word)).cloned().collect()
    };
    (begin, found)
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Validator for Names {}
impl Helper for Names {}

/// The engine and what the prompt needs of it.
pub struct Prompt<'a> {
    /// The engine.
    pub context: &'a SessionContext,
    /// Runs it.
    pub runtime: &'a Runtime,
    /// The tables there are.
    pub tables: &'a [Described],
    /// How results are written.
    pub format: Format,
}

fn history() -> Option<PathBuf> {
    let named = std::env::var_os("FRESHET_SQL_HISTORY").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".freshet_sql_history")))
}

impl Prompt<'_> {
    /// Reads statements until there are no more; whether all of them went well.
    ///
    /// # Errors
    /// Where the terminal cannot be read or written.
    pub fn run(mut self) -> anyhow::Result<bool> {
        let person = stdin().is_terminal();
        let mut editor: Editor<Names, FileHistory> =
            Editor::with_config(Config::builder().auto_add_history(true).build())?;
        editor.set_helper(Some(Names::of(self.tables)));
        let history = history().filter(|_| person);
        if let Some(path) = &history {
            // There is none the first time.
            let _ = editor.load_history(path);
            writeln!(stderr(), "freshet-sql: \\? for help, \\q to end")?;
        }
        let (mut statement, mut well) = (String::new(), true);
        loop {
            let prompt = match (person, statement.is_empty()) {
                (false, _) => "",
                (true, true) => "freshet=> ",
                (true, false) => "freshet-> ",
            };
            match editor.readline(prompt) {
                Ok(line) => {
                    if statement.is_empty() && line.trim_start().starts_with('\\') {
                        if !self.command(line.trim())? {
                            break;
                        }
                        continue;
                    }
                    statement.push_str(&line);
                    statement.push('\n');
                    if line.trim_end().ends_with(';') {
                        well &= self.query(&std::mem::take(&mut statement))?;
                    }
                    if statement.trim().is_empty() {
                        statement.clear();
                    }
                }
                Err(ReadlineError::Interrupted) => statement.clear(),
                Err(ReadlineError::Eof) => {
                    if !statement.trim().is_empty() {
                        well &= self.query(&statement)?;
                    }
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(path) = &history
            && let Err(error) = editor.save_history(path)
        {
            writeln!(stderr(), "the history {} could not be written: {error}", path.display())?;
        }
        Ok(well)
    }

    /// Runs a command; whether to go on.
    fn command(&mut self, line: &str) -> anyhow::Result<bool> {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let mut out = stdout().lock();
        match (command, rest.trim()) {
            ("\\q", _) => return Ok(false),
            ("\\d", "") => {
                for table in self.tables {
                    writeln!(out, "{:28} {}", table.name, table.about)?;
                }
            }
            ("\\d", name) => {
                match self.tables.iter().find(|table| table.name == name.trim_end_matches(';')) {
                    Some(table) => {
                        writeln!(out, "{}", table.about)?;
                        for column in &table.columns {
                            let key = if table.key.as_ref() == Some(&column.name) { " (key)" } else { "" };
                            writeln!(out, "  {:16} {}{key}", column.name, column.about)?;
                        }
                    }
                    None => writeln!(out, "there is no table {name:?}; \\d names them")?,
                }
            }
            ("\\f", "table") => self.format = Format::Table,
            ("\\f", "csv") => self.format = Format::Csv,
            ("\\f", "json") => self.format = Format::Json,
            _ => writeln!(out, "{HELP}")?,
        }
        Ok(true)
    }

    /// Runs statements; whether all went well. Ctrl-C ends them.
    fn query(&self, sql: &str) -> anyhow::Result<bool> {
        let began = Instant::now();
        let all = async {
            for query in output::plan(self.context, sql).await? {
                output::run(query, self.format, &mut stdout()).await?;
            }
            anyhow::Ok(())
        };
        let ended = self.runtime.block_on(async {
            tokio::select! {
                ended = all => Some(ended),
                _ = tokio::signal::ctrl_c() => None,
            }
        });
        match ended {
            Some(Ok(())) if self.format == Format::Table && stdin().is_terminal() => {
                writeln!(stderr(), "{:.3} s", began.elapsed().as_secs_f64())?;
                Ok(true)
            }
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => {
                writeln!(stderr(), "error: {}", words(&error))?;
                Ok(false)
            }
            None => {
                writeln!(stderr(), "cancelled")?;
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_from_their_beginning() {
        let names = ["users".to_owned(), "user_id".to_owned(), "videos".to_owned()];
        let found = |line: &str| complete(&names, line, line.len());
        assert_eq!(found("select US"), (7, vec!["users".to_owned(), "user_id".to_owned()]));
        assert_eq!(found("select count(vid"), (13, vec!["videos".to_owned()]));
        assert_eq!(found("select "), (7, vec![]));
        assert_eq!(found(""), (0, vec![]));
    }
}
