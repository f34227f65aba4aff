//! Texts for people: aligned columns, cut to the terminal, safe to look at.
//!
//! What is shown may come from anywhere, so control characters, which could rewrite a
//! terminal, are shown as escapes. Columns count as a terminal does: Chinese
//! characters are two wide.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::event::Fields;
use crate::model::task::StepNo;

/// The last column is not cut below this, even on a narrow terminal.
const LEAST: usize = 24;

/// The columns of names that others choose, of any length: on a terminal they are cut.
const NAMES: [&str; 2] = ["RULE", "ROOM"];

/// A name is never shown wider on a terminal, and never cut below the least.
const LONGEST_NAME: usize = 32;
const LEAST_NAME: usize = 12;

/// Rows under a heading. The last column is the one that may be long.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(heading: &[&str]) -> Self {
        let heading = heading.iter().map(|&text| text.to_owned());
        Self {
            rows: vec![heading.collect()],
        }
    }

    /// Adds a row with one cell for each heading.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| one_line(&cell).into_owned());
        self.rows.push(cells.collect());
    }

    /// The table, cut to `width`: names as far as they must, and the last column.
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

    /// Makes the columns of names smaller, the widest first, until the lines hold at `width`.
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

    /// Of each column but the last.
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

/// One line for each field of an event.
pub(super) fn fields_text(fields: &Fields) -> String {
    let mut text = String::new();
    for (name, value) in fields.entries() {
        let _ = writeln!(text, "  {name:<16} {}", one_line(&value.to_string()));
    }
    text
}

/// A step as it is called everywhere: its number, and its id where that is known, with
/// the action that the id does not tell.
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

/// `text` with an ellipsis where it is wider than `width`.
fn cut(text: &str, width: Option<usize>) -> Cow<'_, str> {
    let Some(width) = width.filter(|width| text.width() > *width) else {
        return Cow::Borrowed(text);
    };
    let head = fitting(text.chars(), width.saturating_sub(1));
    Cow::Owned(head.chain(['…']).collect())
}

/// `text` with an ellipsis in its middle where it is wider than `width`: names that begin alike
/// differ at their ends.
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

/// As many of the characters as have room in `width`.
fn fitting(text: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut taken = 0;
    text.take_while(move |character| {
        taken += character.width().unwrap_or(0);
        taken <= width
    })
}

/// `text` with nothing in it that moves a cursor or begins a line.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// `text` with nothing in it that moves a cursor, its lines kept.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let unsafe_to_show = |character: char| {
        // Those that turn the direction of writing hide what stands there, too.
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

/// `text` with each line moved in by `by`.
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
        // Where there is room, and where there is none.
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
