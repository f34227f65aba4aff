//! `aftertake rules schema`: prints the JSON Schema for editors.

use anyhow::Context;

use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{on_terminal, print, print_progress};
use crate::rules::schema;

/// Printed on standard error; the schema goes to standard output.
const HINT: &str = "
Save it with `aftertake rules schema > aftertake.schema.json`, and begin the rules file with
# yaml-language-server: $schema=./aftertake.schema.json";

pub(super) fn run() -> Result<Exit, Stop> {
    let text = serde_json::to_string_pretty(&schema::schema())
        .context("write JSON Schema")
        .map_err(|error| Stop::new(Exit::Failed, error))?;
    print(&(text + "\n"))?;
    if on_terminal() {
        print_progress(HINT);
    }
    Ok(Exit::Fine)
}
