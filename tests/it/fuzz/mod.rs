//! Mutated input: each is parsed as the service would, and the properties that hold for any input
//! are checked.
//!
//! Inputs come from a corpus (`corpus/<target>/`, and samples of other tests) and a dictionary;
//! see [`mutate`]. `AFTERTAKE_FUZZ_INPUTS` sets the number per target, `AFTERTAKE_FUZZ_SEED`
//! repeats a run. There is no coverage-guided engine: those need a nightly compiler, and this
//! runs wherever the other tests do.

#![expect(clippy::print_stdout, reason = "a long run prints its progress")]

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

struct Target {
    name: &'static str,
    /// Further inputs: a folder in `tests/it` and an extension.
    samples: Option<(&'static str, &'static str)>,
    /// Words that mean something to the target.
    dictionary: &'static [&'static str],
    /// Inputs of a run without `AFTERTAKE_FUZZ_INPUTS`.
    usual: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

impl Target {
    /// Calls `check` with the corpus unchanged, and then mutated.
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
        // Otherwise one side of the check is hardly ever tested.
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

    /// Saves a failing input, and returns how to reproduce it.
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
