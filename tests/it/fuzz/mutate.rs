//! Makes inputs that are almost valid: pieces of a corpus, changed a little.
//!
//! At least half of the changes follow the text's structure (lines, words, numbers, brackets):
//! an input that is wrong from its first byte fails at the first check.

use std::ops::Range;

/// Bytes of an input; the largest sample has about five thousand.
const LONGEST: usize = 8 * 1024;

/// Boundary values.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "00",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e999",
    "-0",
    "1.5",
];

pub(super) struct Mutator<'a> {
    rng: fastrand::Rng,
    right: &'a [Vec<u8>],
    wrong: &'a [Vec<u8>],
    dictionary: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    /// `right` pieces are accepted as they are, `wrong` ones are not.
    pub(super) fn new(
        seed: u64,
        right: &'a [Vec<u8>],
        wrong: &'a [Vec<u8>],
        dictionary: &'a [&'a str],
    ) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            right,
            wrong,
            dictionary,
        }
    }

    pub(super) fn input(&mut self) -> Vec<u8> {
        let mut input = self.piece().to_vec();
        // Mostly one or two changes, sometimes many.
        for _ in 0..=self.rng.u32(..).trailing_zeros().min(8) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.rng.u8(..11) {
            0 => self.flip(input),
            1 => self.overwrite(input),
            2 => {
                let (at, token) = (self.rng.usize(..=input.len()), self.token());
                input.splice(at..at, token.bytes());
            }
            3 => {
                let (word, token) = (self.run(input, u8::is_ascii_alphanumeric), self.token());
                input.splice(word, token.bytes());
            }
            4 => {
                let (digits, number) = (self.run(input, u8::is_ascii_digit), self.number());
                input.splice(digits, number.bytes());
            }
            5 => {
                let range = self.range(input.len(), 64);
                input.drain(range);
            }
            6 => self.repeat(input),
            7 => self.splice(input),
            8 => {
                let (at, line) = (self.line(input).start, self.borrowed_line());
                input.splice(at..at, line);
            }
            9 => {
                let (from, at) = (self.line(input), self.line(input).start);
                let line = input[from].to_vec();
                input.splice(at..at, line);
            }
            _ => {
                let line = self.line(input);
                input.drain(line);
            }
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        if let Some(byte) = self.place(input) {
            *byte ^= 1 << self.rng.u8(..8);
        }
    }

    fn overwrite(&mut self, input: &mut [u8]) {
        let new = self.rng.u8(..);
        if let Some(byte) = self.place(input) {
            *byte = new;
        }
    }

    /// Repeats a few bytes many times: deep nesting and long runs.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len(), 16);
        let times = 1 << self.rng.u32(..9);
        let repeated = input[range.clone()].repeat(times);
        input.splice(range, repeated);
    }

    /// Replaces the rest of this piece with the rest of another.
    fn splice(&mut self, input: &mut Vec<u8>) {
        let other = self.piece();
        let (end, start) = (self.line(input).start, self.line(other).start);
        input.truncate(end);
        input.extend_from_slice(&other[start..]);
    }

    /// Mostly a valid piece: mutation rarely turns an invalid one into a valid one.
    fn piece(&mut self) -> &'a [u8] {
        let pieces = if self.rng.u8(..4) == 0 {
            self.wrong
        } else {
            self.right
        };
        &pieces[self.rng.usize(..pieces.len())]
    }

    fn token(&mut self) -> &'a str {
        self.dictionary[self.rng.usize(..self.dictionary.len())]
    }

    fn number(&mut self) -> &'static str {
        NUMBERS[self.rng.usize(..NUMBERS.len())]
    }

    fn place<'b>(&mut self, input: &'b mut [u8]) -> Option<&'b mut u8> {
        let end = input.len().max(1);
        input.get_mut(self.rng.usize(..end))
    }

    fn range(&mut self, length: usize, longest: usize) -> Range<usize> {
        let start = self.rng.usize(..=length);
        start..(start + self.rng.usize(..=longest)).min(length)
    }

    /// The run of such bytes after a random place; empty and at the end if there is none.
    fn run(&mut self, input: &[u8], belongs: impl Fn(&u8) -> bool) -> Range<usize> {
        let from = self.rng.usize(..=input.len());
        let begin = input[from..].iter().position(&belongs);
        let start = begin.map_or(input.len(), |begin| from + begin);
        let length = input[start..]
            .iter()
            .take_while(|byte| belongs(byte))
            .count();
        start..start + length
    }

    fn line(&mut self, input: &[u8]) -> Range<usize> {
        let at = self.rng.usize(..=input.len());
        let before = input[..at].iter().rposition(|byte| *byte == b'\n');
        let after = input[at..].iter().position(|byte| *byte == b'\n');
        before.map_or(0, |newline| newline + 1)
            ..after.map_or(input.len(), |newline| at + newline + 1)
    }

    fn borrowed_line(&mut self) -> Vec<u8> {
        let other = self.piece();
        other[self.line(other)].to_vec()
    }
}
