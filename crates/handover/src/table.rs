//! Table: rows of words in columns.
//!
//! Comes in   rows of cells.
//! Goes out   lines; columns are as wide as their widest cell.
//! Never      cuts a word, draws a frame, or leaves blanks at the end of a line.

/// Lines of a table, each behind `indent` blanks.
pub fn lines(indent: usize, rows: &[Vec<String>]) -> Vec<String> {
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
    for word in text.split_whitespace() {
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
}
