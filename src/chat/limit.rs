//! How long a message may be, and how it is cut.
//!
//! A message that is too long is refused for good, and one that ends in `…` is better than
//! none.

use std::borrow::Cow;

/// What a cut message ends in.
const CUT: char = '…';

/// Bytes of a request that Feishu and DingTalk accept.
pub(super) const REQUEST: usize = 20_000;

/// Of these, what frame and signature need.
pub(super) const FRAME: usize = 300;

/// The longest text, and how a service counts each character of it.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) most: usize,
    pub(super) size: fn(char) -> usize,
}

impl Limit {
    /// Of a service that limits the whole request.
    pub(super) const fn of_request() -> Self {
        Self {
            most: REQUEST - FRAME,
            size: in_json,
        }
    }

    pub(super) fn cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let room = self.most - (self.size)(CUT);
        let (mut sum, mut end) = (0, 0);
        for (at, character) in text.char_indices() {
            sum += (self.size)(character);
            if sum <= room {
                end = at + character.len_utf8();
            }
            if sum > self.most {
                return format!("{}{CUT}", &text[..end]).into();
            }
        }
        text.into()
    }
}

/// Bytes of a character within a JSON string, as `serde_json` writes it.
const fn in_json(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}
