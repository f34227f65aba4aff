//! Flags that several commands share. Each can also be set by an environment variable; the flag
//! wins.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;

use crate::config::StoreUrl;
use crate::model::recorder::Recorder;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct RulesFlag {
    /// The rules file
    #[arg(
        long,
        value_name = "FILE",
        env = "AFTERTAKE_RULES",
        hide_env_values = true,
        default_value = "rules.yaml"
    )]
    pub rules: PathBuf,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct StoreFlag {
    /// The store
    #[arg(
        long,
        value_name = "sqlite:PATH",
        env = "AFTERTAKE_STORE",
        hide_env_values = true,
        default_value = "sqlite:aftertake.db",
        value_parser = Parsed::of::<StoreUrl>()
    )]
    pub store: StoreUrl,
}

/// Not worth a line of `--help` while there is only one recorder.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RecorderFlag {
    /// The recorder that sends such a body
    #[arg(
        long,
        value_name = "NAME",
        hide = Recorder::ALL.len() == 1,
        default_value_t = Recorder::default(),
        value_parser = Parsed::of::<Recorder>()
    )]
    pub recorder: Recorder,
}

/// Reports errors in the value's own words: clap's message would repeat the value, and a store's
/// URL may hold a password.
#[derive(Debug)]
pub(super) struct Parsed<T>(fn(&str) -> Result<T, String>);

impl<T> Parsed<T> {
    pub(super) const fn by(read: fn(&str) -> Result<T, String>) -> Self {
        Self(read)
    }
}

impl Parsed<()> {
    pub(super) const fn of<T: FromStr<Err: fmt::Display>>() -> Parsed<T> {
        Parsed(|text| text.parse().map_err(|error: T::Err| error.to_string()))
    }
}

impl<T> Clone for Parsed<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Parsed<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = value.to_str().ok_or("the value is not UTF-8".to_owned());
        text.and_then(self.0).map_err(|why| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("{name}: {why}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// Refuses an empty value: a filter whose value a script lost must not match everything.
pub(super) fn filled(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the value is empty; leave the flag out, or fill it".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        store: StoreFlag,
    }

    #[test]
    fn refused_store_does_not_show_its_password() {
        let refusal = Line::try_parse_from(["x", "--store", "postgres://me:hidden@db/x"]);
        let text = refusal.unwrap_err().to_string();
        assert_eq!(
            text.lines().next(),
            Some("error: --store <sqlite:PATH>: \"postgres:…\" is not a store (sqlite:PATH)")
        );
        assert!(!text.contains("hidden"));
    }
}
