//! The committed counts for this kind of processor, and their comparison with new counts.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// By how many per cent a count may exceed its baseline.
const TOLERANCE: u64 = 10;

#[derive(Debug)]
pub(crate) struct Baseline {
    /// The compiler and valgrind that made it.
    made_with: String,
    counts: Vec<(String, u64)>,
}

/// New counts compared with the baseline.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) table: String,
    /// Whether a count exceeds its baseline or has none.
    pub(crate) refused: bool,
}

impl Baseline {
    pub(crate) fn read() -> Result<Self, String> {
        let path = path();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}; --bless makes it", path.display()))?;
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let count = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        Ok(Self {
            made_with: first.trim_start_matches("# ").to_owned(),
            counts: rest.lines().filter_map(count).collect(),
        })
    }

    pub(crate) fn compare(&self, counts: &[(&str, u64)]) -> Compared {
        let mut table = format!("{:<16}{:>12}{:>12}\n", "instructions", "baseline", "now");
        let mut refused = false;
        for &(name, now) in counts {
            let before = self.counts.iter().find(|(known, _)| known == name);
            let before = before.map_or(0, |(_, count)| *count);
            let exceeds = now * 100 > before * (100 + TOLERANCE);
            let falls = now * (100 + TOLERANCE) < before * 100;
            let note = match (before, exceeds, falls) {
                (0, ..) => "not in the baseline",
                (_, true, _) => "more than 10 % above it",
                (_, _, true) => "well below it: --bless keeps that",
                _ => "",
            };
            refused |= exceeds;
            let row = format!("{name:<16}{before:>12}{now:>12}  {note}");
            let _ = writeln!(table, "{}", row.trim_end());
        }
        Compared { table, refused }
    }

    /// Whether it was made with this valgrind and the current compiler.
    pub(crate) fn is_by(&self, valgrind: &str) -> bool {
        self.made_with == made_with(valgrind)
    }

    /// What to do about a refusal.
    pub(crate) fn way_out(&self, valgrind: &str) -> String {
        let (then, now) = (&self.made_with, made_with(valgrind));
        let because = if *then == now {
            format!("both by {now}")
        } else {
            format!("the baseline is by {then}, this by {now}, which may be all there is to it")
        };
        format!(
            "what every callback goes through takes more instructions than it did ({because}). Where that is \
             meant, `cargo bench --bench instructions -- --bless` renews the baseline; commit it with the reason"
        )
    }
}

pub(crate) fn write(valgrind: &str, counts: &[(&str, u64)]) -> PathBuf {
    let mut text = format!("# {}\n", made_with(valgrind));
    for (name, count) in counts {
        let _ = writeln!(text, "{name} {count}");
    }
    let path = path();
    std::fs::write(&path, text).expect("the source folder can be written to");
    path
}

fn made_with(valgrind: &str) -> String {
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or_else(|_| b"an unknown compiler".to_vec(), |output| output.stdout);
    format!("{}, {valgrind}", String::from_utf8_lossy(&rustc).trim())
}

fn path() -> PathBuf {
    let name = format!("baseline.{}.txt", std::env::consts::ARCH);
    [env!("CARGO_MANIFEST_DIR"), "benches/instructions", &name]
        .iter()
        .collect()
}
