//! The moves of a task as a person reads them: how far they are, and some of them.

use std::fmt::Write;

use crate::cli::table::one_line;
use crate::model::moves::{Move, MovePhase, Source};

/// Moves that are told one by one. A recording of some hours has thousands of segments.
const SHOWN: usize = 20;

/// One line for each move, or for the first ones, and the last, which is the named object;
/// before them how many are in which phase. Empty without moves.
pub(super) fn text(moves: &[Move]) -> String {
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

fn progress(moves: &[Move]) -> String {
    let count = |phase| moves.iter().filter(|one| one.phase == phase).count();
    let counts: Vec<String> = MovePhase::ALL
        .into_iter()
        .map(|phase| (count(phase), phase.name()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    counts.join(", ")
}

fn line(text: &mut String, one: &Move) {
    let (phase, size) = (one.phase.name(), one.size);
    let line = if one.only_goes() {
        let what = match one.source {
            Source::Goes => "only deleted",
            Source::Shared | Source::Stays => "left: a recording may need it",
        };
        format!("{phase:<8} {}  {what}", one.from)
    } else {
        format!("{phase:<8} {size} bytes  {} -> {}", one.from, one.to)
    };
    let _ = writeln!(text, "  {}", one_line(&line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::moves::{Part, Target};
    use crate::model::recording::Place;

    fn moves(count: u32, copied: u32) -> Vec<Move> {
        let place = |key: String| Place {
            bucket: "b".into(),
            key,
        };
        let one = |number| Move {
            number,
            from: place(format!("r/{number}.ts")),
            to: place(format!("c/{number}.ts")),
            part: Part::Segment,
            size: 7,
            etag: "e".into(),
            target: Target::Absent,
            target_etag: None,
            upload: None,
            is_marked: false,
            source: Source::Goes,
            phase: if number < copied {
                MovePhase::Copied
            } else {
                MovePhase::Planned
            },
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn few_moves_are_told_whole() {
        assert_eq!(text(&[]), "");
        let told = "\nmoves  1 planned, 1 copied\n  copied   7 bytes  b/r/0.ts -> b/c/0.ts\n  \
                    planned  7 bytes  b/r/1.ts -> b/c/1.ts\n";
        assert_eq!(text(&moves(2, 1)), told);
        assert_eq!(text(&moves(20, 1)).lines().count(), 22);
        assert!(!text(&moves(20, 1)).contains("more"));
    }

    #[test]
    fn what_has_no_copy_is_told_to_go_or_to_be_left() {
        let mut moves = moves(3, 3);
        for (one, source) in moves.iter_mut().zip([Source::Goes, Source::Shared]) {
            (one.target, one.source) = (Target::Present, source);
        }
        let told = text(&moves);
        assert!(
            told.contains("  copied   b/r/0.ts  only deleted\n"),
            "{told}"
        );
        let left = "  copied   b/r/1.ts  left: a recording may need it\n";
        assert!(told.contains(left), "{told}");
        assert!(told.contains("b/r/2.ts -> b/c/2.ts"), "{told}");
    }

    #[test]
    fn many_moves_are_told_by_how_far_they_are_the_first_ones_and_the_named_object() {
        let told = text(&moves(25_001, 20_000));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 23);
        assert_eq!(lines[1], "moves  5001 planned, 20000 copied");
        assert_eq!(lines[21], "  … and 24981 more, which --json shows");
        assert!(lines[22].contains("r/25000.ts"), "{}", lines[22]);
    }
}
