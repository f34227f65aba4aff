//! Text output: aligned columns, cut to the terminal's width, without control characters.
//!
//! Values may come from anyone. A control character could rewrite the terminal, so it is shown as
//! an escape. Width is counted as terminals do: a Chinese character is two columns.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::event::Fields;
use crate::model::task::StepNo;

/// The last column is never cut below this.
const LEAST: usize = 24;

/// Columns with names that users choose. They can have any length, so they are cut on a terminal.
const NAMES: [&str; 2] = ["RULE", "ROOM"];

/// The width of a name on a terminal: at most, and what cutting always leaves.
const LONGEST_NAME: usize = 32;
const LEAST_NAME: usize = 12;

/// Rows under a heading. Only the last column is expected to be long.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        let heading = heading.iter().map(|&text| text.to_owned());
        Self {
            rows: vec![heading.collect()],
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| one_line(&cell).into_owned());
        self.rows.push(cells.collect());
    }

    /// The table; wider than `width`, first the names are cut, then the last column.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let mut widths = self.widths();
        if let Some(width) = width {
            self.fit(&mut widths, width);
        }
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(line(row, &widths, width).trim_end());
            text.push('\n');
        }
        text
    }

    /// Narrows the columns of names, the widest first, until the lines fit into `width`.
    fn fit(&self, widths: &mut [usize], width: usize) {
        let is_name = |column: &usize| NAMES.contains(&self.rows[0][*column].as_str());
        let names: Vec<usize> = (0..widths.len()).filter(is_name).collect();
        for name in &names {
            widths[*name] = widths[*name].min(LONGEST_NAME);
        }
        let last = self.rows.iter().filter_map(|row| row.last());
        let last = last.map(|cell| cell.width().min(LEAST)).max();
        let last = last.unwrap_or_default();
        while widths.iter().map(|width| width + 2).sum::<usize>() + last > width {
            let can_be = names.iter().filter(|name| widths[**name] > LEAST_NAME);
            let Some(widest) = can_be.max_by_key(|name| widths[**name]) else {
                break;
            };
            widths[*widest] -= 1;
        }
    }

    /// Widths of all columns except the last.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows[0].len() - 1;
        let widest = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].as_str().width())
                .max()
        };
        (0..columns).filter_map(widest).collect()
    }
}

pub(super) fn fields_text(fields: &Fields) -> String {
    let mut text = String::new();
    for (name, value) in fields.entries() {
        let _ = writeln!(text, "  {name:<16} {}", one_line(&value.to_string()));
    }
    text
}

/// A step's number and id, and its action when the id is another word.
pub(super) fn step_name(number: StepNo, id: &str, action: &str) -> String {
    if id == action {
        format!("{number} {id}")
    } else {
        format!("{number} {id} ({action})")
    }
}

fn line(row: &[String], widths: &[usize], width: Option<usize>) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let cell = cut_amid(cell, *width);
        let fill = (width + 2).saturating_sub(cell.width());
        text.push_str(&cell);
        text.extend(std::iter::repeat_n(' ', fill));
    }
    let last = row.last().map_or("", String::as_str);
    let left = width.map(|width| width.saturating_sub(text.width()).max(LEAST));
    text.push_str(&cut(last, left));
    text
}

/// `text`, cut at its end to `width`, with an ellipsis.
fn cut(text: &str, width: Option<usize>) -> Cow<'_, str> {
    let Some(width) = width.filter(|width| text.width() > *width) else {
        return Cow::Borrowed(text);
    };
    let head = fitting(text.chars(), width.saturating_sub(1));
    Cow::Owned(head.chain(['…']).collect())
}

/// `text`, cut in its middle to `width`: names that begin alike differ at their ends.
fn cut_amid(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let room = width.saturating_sub(1);
    let head = fitting(text.chars(), room.div_ceil(2));
    let tail: Vec<char> = fitting(text.chars().rev(), room / 2).collect();
    let tail = tail.into_iter().rev();
    Cow::Owned(head.chain(['…']).chain(tail).collect())
}

/// The first characters that fit into `width`.
fn fitting(text: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut taken = 0;
    text.take_while(move |character| {
        taken += character.width().unwrap_or(0);
        taken <= width
    })
}

/// `text` on one line, with control characters escaped.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// `text` with control characters escaped, except line breaks and tabs.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let unsafe_to_show = |character: char| {
        // Characters that change the direction of writing can hide text, too.
        let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (character.is_control() || turns) && !keep(character)
    };
    if !text.contains(unsafe_to_show) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if unsafe_to_show(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

pub(super) fn indented<'a>(text: &'a str, by: &'a str) -> String {
    let parts = |line: &'a str| {
        if line.is_empty() {
            ["", "", "\n"]
        } else {
            [by, line, "\n"]
        }
    };
    text.lines().flat_map(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(why: &str) -> Table {
        let mut table = Table::new(&["RULE", "STATE", "WHY"]);
        table.row(["课堂".into(), "dead".into(), why.into()]);
        table.row(["archive".into(), "done".into(), String::new()]);
        table
    }

    #[test]
    fn columns_are_aligned_also_under_wide_characters() {
        assert_eq!(
            table("refused").text(None),
            "RULE     STATE  WHY\n课堂     dead   refused\narchive  done\n"
        );
    }

    #[test]
    fn last_column_is_cut_to_the_terminal_and_never_below_its_least() {
        let text = |width| table(&"x".repeat(50)).text(Some(width));
        assert_eq!(text(45).lines().nth(1).unwrap().width(), 45);
        assert_eq!(text(20).lines().nth(1).unwrap().width(), 16 + LEAST);
        assert_eq!(text(80).lines().nth(1).unwrap().width(), 66);
    }

    #[test]
    fn names_are_cut_amid_as_far_as_the_terminal_asks_for() {
        let room = format!("class-{}-7", "x".repeat(200));
        let mut table = Table::new(&["EVENT", "ROOM", "TYPE"]);
        table.row(["e".repeat(60), room.clone(), "RECORD_FILE_COMPLETE".into()]);
        table.row(["e".into(), "课堂".repeat(100), String::new()]);
        let lines = |width| -> Vec<String> {
            let text = table.text(width);
            text.lines().skip(1).map(str::to_owned).collect()
        };
        assert!(lines(None)[0].contains(&room));
        let shown = lines(Some(100));
        assert!(
            shown[0].contains("class-xx…xxxxx-7  RECORD_FILE_COMPLETE"),
            "{shown:?}"
        );
        assert!(shown[1].contains("课堂课堂…堂课堂"), "{shown:?}");
        assert!(shown.iter().all(|line| line.width() <= 100), "{shown:?}");
        // A wide and a narrow terminal.
        assert_eq!(lines(Some(200))[0].width(), 62 + LONGEST_NAME + 2 + 20);
        assert_eq!(lines(Some(20))[0].width(), 62 + LEAST_NAME + 2 + 20);
    }

    #[test]
    fn nothing_that_is_shown_can_move_the_cursor() {
        assert_eq!(
            one_line("a\u{1b}[2J\nb\u{202e}"),
            "a\\u{1b}[2J\\nb\\u{202e}"
        );
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
        assert!(matches!(one_line("录制 plain"), Cow::Borrowed(_)));
    }
}
