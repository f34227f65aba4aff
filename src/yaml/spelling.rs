//! Suggests the word that was probably meant.

/// The comparison needs memory for each pair of characters, and longer words are not typing errors.
const LONGEST_WORD: usize = 200;

/// `did you mean …`, when one of `known` is close enough.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(word, known).map(|name| format!("did you mean `{name}`?"))
}

/// The closest of `known`, if it is close enough.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > LONGEST_WORD {
        return None;
    }
    let allowed = (length / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= allowed || name.eq_ignore_ascii_case(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_words_are_not_suggested() {
        for (word, known, expected) in [
            ("zzz", &["name", "steps"][..], None),
            ("tiemuot", &["timeout"], Some("timeout")),
            ("TO", &["to"], Some("to")),
        ] {
            assert_eq!(closest(word, known.iter().copied()), expected, "{word}");
        }
        let hint = did_you_mean("nam", ["name"]);
        assert_eq!(hint.as_deref(), Some("did you mean `name`?"));
    }
}
