//! Tables for the terminal: columns as wide as their widest cell, numbers to the right.

use std::fmt::Write as _;

/// Which side a column's cells keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Renders a table with a head line. The last column is not padded. Control characters are shown as spaces: captions
/// come from strangers, and a terminal obeys escape codes.
pub fn render(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        std::iter::once(columns.iter().map(|(name, _)| (*name).to_owned()).collect())
            .chain(rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()))
            .collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (at, cell) in row.iter().enumerate() {
            let pad = widths[at] - cell.chars().count();
            let gap = if at == 0 { "" } else { "  " };
            let last = at + 1 == row.len();
            match columns[at].1 {
                Align::Right => write!(text, "{gap}{}{cell}", " ".repeat(pad)),
                Align::Left if last => write!(text, "{gap}{cell}"),
                Align::Left => write!(text, "{gap}{cell}{}", " ".repeat(pad)),
            }
            .expect("a String takes all");
        }
        // Cells may be empty at a row's end.
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// Text without control characters.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most `most` characters.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// Text in lines of at most `width` characters, broken at spaces. A longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in printable(text).split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrap("one two\x07three a-longer-word x", 9), "one two\nthree\na-longer-word\nx\n");
    }

    #[test]
    fn columns_line_up_and_escape_codes_do_not_pass() {
        let rows =
            vec![vec!["1".to_owned(), "a".to_owned()], vec!["100".to_owned(), "\x1b[31mred".to_owned()]];
        let text = render(&[("n", Align::Right), ("text", Align::Left)], &rows);
        assert_eq!(text, "  n  text\n  1  a\n100   [31mred\n");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(shorten("日本語日本語", 5), "日本...");
        assert_eq!(shorten("short", 5), "short");
    }
}
