//! Refuses log filters that would silence the log by mistake.
//!
//! `tracing` accepts any word as the name of a target: with `debgu` alone, only a part of the
//! program with that name would log.

pub(super) const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Other crates that log.
const OTHERS: [&str; 5] = [
    "h2",
    "hyper_util",
    "reqwest",
    "rustls_platform_verifier",
    "warp",
];

/// The modules in `lib.rs`.
const PARTS: [&str; 20] = [
    "model",
    "yaml",
    "chat",
    "rules",
    "recorder",
    "store",
    "object",
    "outbound",
    "action",
    "in_force",
    "worker",
    "intake",
    "http",
    "telemetry",
    "clock",
    "supervision",
    "config",
    "app",
    "operate",
    "cli",
];

pub(super) fn targets() -> String {
    let (last, others) = OTHERS.split_last().unwrap_or((&"", &[]));
    format!(
        "aftertake, aftertake::<part>, {} or {last}",
        others.join(", ")
    )
}

/// Fails if `filter` names no level, or a target that never logs.
pub(super) fn check(filter: &str) -> Result<(), String> {
    let mut pieces = filter.split(',').map(str::trim);
    if pieces.clone().all(str::is_empty) {
        return Err("it names no level".to_owned());
    }
    pieces
        .by_ref()
        .filter(|piece| !piece.is_empty())
        .try_for_each(check_piece)
}

fn check_piece(piece: &str) -> Result<(), String> {
    let (target, level) = match piece.split_once('=') {
        None if is_level(piece) => return Ok(()),
        None => (piece, None),
        Some((target, level)) => (target.trim(), Some(level.trim())),
    };
    if let Some(level) = level.filter(|level| !is_level(level)) {
        return Err(format!("{level:?} is not a level"));
    }
    if !is_target(target) {
        let known = if level.is_none() {
            "neither a level nor a target of the log"
        } else {
            "not a target of the log"
        };
        return Err(format!("{target:?} is {known}"));
    }
    Ok(())
}

fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text))
}

fn is_target(text: &str) -> bool {
    let mut path = text.split("::");
    match (path.next(), path.next()) {
        (Some("aftertake"), None) => true,
        (Some("aftertake"), Some(part)) => PARTS.contains(&part),
        (Some(other), _) => OTHERS.contains(&other),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_that_log_are_taken() {
        for filter in [
            "info",
            "WARN",
            "off",
            "aftertake",
            "info,aftertake::worker=debug",
            "warn, aftertake::worker::run=trace ,hyper_util=off",
            "info,",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn what_would_silence_the_log_is_refused() {
        for (filter, reason) in [
            (
                "debgu",
                "\"debgu\" is neither a level nor a target of the log",
            ),
            ("", "it names no level"),
            (" , ", "it names no level"),
            ("aftertake=loud", "\"loud\" is not a level"),
            ("aftertake=", "\"\" is not a level"),
            ("=debug", "\"\" is not a target of the log"),
            ("aftertak=debug", "\"aftertak\" is not a target of the log"),
            (
                "aftertake::wrker=debug",
                "\"aftertake::wrker\" is not a target of the log",
            ),
            ("info,[step]=debug", "\"[step]\" is not a target of the log"),
        ] {
            assert_eq!(check(filter), Err(reason.to_owned()), "{filter}");
        }
    }

    #[test]
    fn parts_are_those_of_the_crate() {
        let lib = include_str!("../../lib.rs");
        let named = lib.lines().filter_map(|line| line.strip_prefix("pub mod "));
        let mut named: Vec<_> = named.map(|name| name.trim_end_matches(';')).collect();
        let mut parts = PARTS.to_vec();
        named.sort_unstable();
        parts.sort_unstable();
        assert_eq!(named, parts);
    }
}
