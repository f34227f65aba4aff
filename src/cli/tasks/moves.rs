//! Text of a task's moves: how many are in which phase, and some of them.

use std::fmt::Write;

use crate::cli::table::one_line;
use crate::model::moves::{MovePhase, Source};
use crate::operate::tasks::MoveLine;

/// Moves shown one by one: a recording of some hours has thousands of segments.
const SHOWN: usize = 20;

/// The number of moves in each phase, then one line for each of the first moves and for the last,
/// which is the named object. Empty without moves.
pub(super) fn text(moves: &[MoveLine]) -> String {
    let mut text = String::new();
    let Some((last, others)) = moves.split_last() else {
        return text;
    };
    let _ = writeln!(text, "\nmoves  {}", progress(moves));
    let shown = others.iter().take(SHOWN - 1);
    let left = others.len() - shown.len();
    shown.for_each(|one| line(&mut text, one));
    if left > 0 {
        let _ = writeln!(text, "  … and {left} more, which --json shows");
    }
    line(&mut text, last);
    text
}

fn progress(moves: &[MoveLine]) -> String {
    let count = |phase| moves.iter().filter(|one| one.phase == phase).count();
    let counts: Vec<String> = MovePhase::ALL
        .into_iter()
        .map(|phase| (count(phase.name()), phase.name()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    counts.join(", ")
}

fn line(text: &mut String, one: &MoveLine) {
    let (phase, size) = (one.phase, one.size);
    let line = match one.without_copy {
        None => format!("{phase:<8} {size} bytes  {} -> {}", one.from, one.to),
        Some(Source::Goes) => format!("{phase:<8} {}  only deleted", one.from),
        Some(Source::Shared | Source::Stays) => {
            format!("{phase:<8} {}  left: a recording may need it", one.from)
        }
    };
    let _ = writeln!(text, "  {}", one_line(&line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recording::Place;

    fn moves(count: u32, copied: u32) -> Vec<MoveLine> {
        let place = |key: String| Place {
            bucket: "b".into(),
            key,
        };
        let one = |number| MoveLine {
            from: place(format!("r/{number}.ts")),
            to: place(format!("c/{number}.ts")),
            size: 7,
            without_copy: None,
            phase: if number < copied {
                MovePhase::Copied.name()
            } else {
                MovePhase::Planned.name()
            },
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn few_moves_are_shown_whole() {
        assert_eq!(text(&[]), "");
        let shown = "\nmoves  1 planned, 1 copied\n  copied   7 bytes  b/r/0.ts -> b/c/0.ts\n  \
                    planned  7 bytes  b/r/1.ts -> b/c/1.ts\n";
        assert_eq!(text(&moves(2, 1)), shown);
        assert_eq!(text(&moves(20, 1)).lines().count(), 22);
        assert!(!text(&moves(20, 1)).contains("more"));
    }

    #[test]
    fn what_has_no_copy_is_shown_as_deleted_or_left() {
        let mut moves = moves(3, 3);
        for (one, source) in moves.iter_mut().zip([Source::Goes, Source::Shared]) {
            one.without_copy = Some(source);
        }
        let shown = text(&moves);
        assert!(
            shown.contains("  copied   b/r/0.ts  only deleted\n"),
            "{shown}"
        );
        let left = "  copied   b/r/1.ts  left: a recording may need it\n";
        assert!(shown.contains(left), "{shown}");
        assert!(shown.contains("b/r/2.ts -> b/c/2.ts"), "{shown}");
    }

    #[test]
    fn many_moves_are_shown_by_how_far_they_are_the_first_ones_and_the_named_object() {
        let shown = text(&moves(25_001, 20_000));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 23);
        assert_eq!(lines[1], "moves  5001 planned, 20000 copied");
        assert_eq!(lines[21], "  … and 24981 more, which --json shows");
        assert!(lines[22].contains("r/25000.ts"), "{}", lines[22]);
    }
}
