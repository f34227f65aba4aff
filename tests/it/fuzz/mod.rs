//! Whatever others send or write, mangled: every input is parsed as the service would, and
//! what has to hold of any input is checked.
//!
//! Inputs come from a corpus (`corpus/<target>/`, and the samples that other tests use) and
//! are mutated with a dictionary; see [`mutate`]. `AFTERTAKE_FUZZ_INPUTS` says how many each
//! target gets, `AFTERTAKE_FUZZ_SEED` repeats a run. No engine that follows the branches of
//! the code: those need a nightly compiler, and this runs wherever the other tests do.

#![expect(clippy::print_stdout, reason = "a long run tells what it did")]

mod body;
mod mutate;
mod obs_xml;
mod parrot;
mod playlist;
mod retry_after;
mod rules;
mod signature;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use self::mutate::Mutator;

/// What is fuzzed, and with what.
struct Target {
    /// Its folder in `corpus`.
    name: &'static str,
    /// Files of other tests that are inputs, too: a folder in `tests/it` and an extension.
    samples: Option<(&'static str, &'static str)>,
    /// Words that mean something to what is fuzzed.
    dictionary: &'static [&'static str],
    /// Inputs of a run that nobody asked more of.
    usual: u64,
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

impl Target {
    /// Gives `check` the corpus as it is, and then mutated.
    fn run(&self, mut check: impl FnMut(&[u8]) -> Verdict) {
        let mut verdict_of = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| check(input))).ok();
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for (path, input) in self.corpus() {
            match verdict_of(&input) {
                Some(Verdict::Accepted) => right.push(input),
                Some(Verdict::Refused) => wrong.push(input),
                None => panic!("{}: {}", self.name, path.display()),
            }
        }
        let count = number("AFTERTAKE_FUZZ_INPUTS").unwrap_or(self.usual);
        let seed = number("AFTERTAKE_FUZZ_SEED");
        let seed = seed.unwrap_or_else(|| fastrand::Rng::new().get_seed());
        println!("fuzz {}: seed {seed}, {count} inputs", self.name);
        let mut mutator = Mutator::new(seed, &right, &wrong, self.dictionary);
        let mut accepted = 0;
        for _ in 0..count {
            let input = mutator.input();
            match verdict_of(&input) {
                Some(Verdict::Accepted) => accepted += 1,
                Some(Verdict::Refused) => {}
                None => panic!("{}", self.found(seed, &input)),
            }
        }
        println!("fuzz {}: {accepted} of {count} accepted", self.name);
        // Else one side of what is checked was hardly ever looked at.
        let rarer = accepted.min(count - accepted);
        assert!(
            count < 500 || rarer * 50 > count,
            "{accepted} of {count} accepted"
        );
    }

    fn corpus(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
        let own = (tests.join("fuzz/corpus").join(self.name), None);
        let samples = self
            .samples
            .map(|(folder, extension)| (tests.join(folder), Some(extension)));
        let mut paths: Vec<PathBuf> = [own]
            .into_iter()
            .chain(samples)
            .flat_map(|(folder, extension)| {
                let paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
                paths.filter(move |path| {
                    extension.is_none_or(|wanted| path.extension().is_some_and(|e| e == wanted))
                })
            })
            .collect();
        paths.sort();
        let read = |path: PathBuf| {
            let input = fs::read(&path).unwrap();
            (path, input)
        };
        paths.into_iter().map(read).collect()
    }

    /// Keeps an input that broke something, and says what to do with it.
    fn found(&self, seed: u64, input: &[u8]) -> String {
        let kept =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}-{seed}", self.name));
        fs::write(&kept, input).unwrap();
        format!(
            "AFTERTAKE_FUZZ_SEED={seed} found an input of {} bytes: {}\nmend what it breaks, and put it \
             into tests/it/fuzz/corpus/{}/\n{:?}",
            input.len(),
            kept.display(),
            self.name,
            String::from_utf8_lossy(&input[..input.len().min(400)]),
        )
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}
