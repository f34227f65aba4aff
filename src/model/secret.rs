//! Keeps configured secrets out of everything a person or a disk may see.

use std::borrow::Cow;

/// What a secret is shown as.
pub const SHOWN: &str = "***";

/// Replaces known secrets in texts before they are stored, logged or shown.
#[derive(Clone, Default)]
pub struct Mask {
    /// Longest first, so that a secret that contains another is replaced whole.
    secrets: Vec<String>,
}

impl Mask {
    /// A mask for these secrets; empty ones are passed over.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// This mask and more secrets.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = String>) -> Self {
        Self::new(self.secrets.iter().cloned().chain(more))
    }

    /// This mask and another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other.secrets.iter().cloned())
    }

    /// `text` with every secret shown as `***`.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut shown = Cow::Borrowed(text);
        for secret in self
            .secrets
            .iter()
            .filter(|secret| text.contains(secret.as_str()))
        {
            shown = Cow::Owned(shown.replace(secret.as_str(), SHOWN));
        }
        shown
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_inside_another_leaves_no_rest() {
        let mask = Mask::new(["key".into(), "key-and-more".into(), String::new()]);
        assert_eq!(mask.apply("a key-and-more b key c"), "a *** b *** c");
        assert_eq!(mask.apply("nothing"), "nothing");
    }

    #[test]
    fn masks_add_up() {
        let mask = Mask::new(["one".into()]).with(["two".into()]);
        let both = mask.and(&Mask::new(["three".into()]));
        assert_eq!(mask.apply("one two three"), "*** *** three");
        assert_eq!(both.apply("one two three"), "*** *** ***");
    }

    #[test]
    fn mask_does_not_print_what_it_hides() {
        assert_eq!(
            format!("{:?}", Mask::new(["hidden".into()])),
            "Mask(1 secrets)"
        );
    }
}
