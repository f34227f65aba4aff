//! Reads input files: rules files and callback bodies.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use http::HeaderMap;

use super::exit::{Exit, Stop};
use crate::app::load::{self, LoadError};
use crate::clock;
use crate::config::Environment;
use crate::model::event::Event;
use crate::model::recorder::Recorder;
use crate::recorder;
use crate::rules::error::RulesError;
use crate::rules::file::RulesFile;

pub(super) fn rules(path: &Path) -> Result<RulesFile, Stop> {
    let text = text(path)?;
    parse(path, &text).map_err(|refusal| Stop::new(Exit::BadInput, refusal))
}

pub(super) fn parse(path: &Path, text: &str) -> Result<RulesFile, RulesError> {
    load::parse(path, text, &Environment)
}

pub(super) fn text(path: &Path) -> Result<String, Stop> {
    let text = load::read(path).and_then(|content| load::text(path, content));
    text.map_err(|error| Stop::new(exit_of(&error), error))
}

pub(super) const fn exit_of(error: &LoadError) -> Exit {
    match error {
        LoadError::Unreadable { .. } => Exit::NoInput,
        LoadError::NotText { .. } | LoadError::Wrong(_) => Exit::BadInput,
    }
}

/// Parses the callback body in the file at `path` (`-` is standard input) as if it arrived now. Its
/// signature is not checked.
pub(super) fn event(path: &Path, from: Recorder) -> Result<Event, Stop> {
    let shown = || format!("read event file {}", path.display());
    let body = body(path)
        .with_context(shown)
        .map_err(|error| Stop::new(Exit::NoInput, error))?;
    recorder::parse(from, &HeaderMap::new(), Bytes::from(body), clock::now())
        .with_context(shown)
        .map_err(|error| Stop::new(Exit::BadInput, error))
}

fn body(path: &Path) -> io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return fs::read(path);
    }
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    Ok(body)
}
