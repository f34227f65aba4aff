//! Cuts messages to the length that a service accepts.
//!
//! Services refuse longer messages for good; a message that ends in `…` is better than none.

use std::borrow::Cow;

/// The end of a cut message.
const CUT: char = '…';

/// Maximum request size of Feishu and DingTalk, in bytes.
pub(super) const REQUEST: usize = 20_000;

/// Bytes of a request that are reserved for the frame and the signature.
pub(super) const FRAME: usize = 300;

/// Maximum length of a text, and how the service measures each character.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) most: usize,
    pub(super) size: fn(char) -> usize,
}

impl Limit {
    /// For a service that limits the whole request.
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

/// Bytes of a character in a JSON string written by `serde_json`.
const fn in_json(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}
