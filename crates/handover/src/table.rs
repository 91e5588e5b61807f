//! Table: rows of words in columns.
//!
//! Comes in   rows of cells.
//! Goes out   lines; columns are as wide as their widest cell.
//! Never      cuts a word, draws a frame, or leaves blanks at the end of a line; never lets words
//!            of others move the cursor or begin a line of their own.

/// Lines of a table, each behind `indent` blanks.
pub fn lines(indent: usize, rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut text = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Text in lines of at most `width` characters, broken between words.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in plain(text).split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Words as one line that a terminal shows as it stands: what would move its cursor, begin a line or
/// turn the direction of writing is written out as `\u{..}`.
pub fn plain(text: &str) -> String {
    written_out(text, steers)
}

/// The same for text that has lines of its own.
pub fn plain_lines(text: &str) -> String {
    written_out(text, |char| char != '\n' && steers(char))
}

/// The beginning of overlong words.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn written_out(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match which(char) {
            true => plain.extend(char.escape_unicode()),
            false => plain.push(char),
        }
    }
    plain
}

/// Control characters, line and paragraph separators, and the marks, embeddings, overrides and
/// isolates of the bidirectional algorithm (Unicode UAX #9 §2).
pub fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(char, '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_a_word() {
        let rows = [vec!["a".to_owned(), "bb".into()], vec!["ccc".into(), String::new()]];
        assert_eq!(lines(2, &rows), ["  a    bb", "  ccc"]);
    }

    #[test]
    fn text_is_broken_between_words_only() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("overlong", 3), ["overlong"]);
        assert_eq!(wrapped("", 3), [""]);
    }

    #[test]
    fn words_of_others_stay_in_their_line() {
        let forged = "a\nok\r\u{1b}[2Jb\u{9b}1m\u{202e}c\u{2028}d\u{2066}";
        let told = r"a\u{a}ok\u{d}\u{1b}[2Jb\u{9b}1m\u{202e}c\u{2028}d\u{2066}";
        assert_eq!(plain(forged), told);
        assert_eq!(lines(0, &[vec![forged.to_owned(), "x".into()]]), [format!("{told}  x")]);
        assert_eq!(wrapped(forged, 200), [told]);
        assert_eq!(plain_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
        assert_eq!(plain("Zoë 李 أمل"), "Zoë 李 أمل", "names stay as they are");
    }

    #[test]
    fn overlong_words_are_shortened() {
        assert_eq!((short("äbc", 3), short("äbcd", 3)), ("äbc".into(), "äbc…".into()));
    }
}
