//! The only module that prints.
//!
//! Each answer is one value, printed as text or as JSON. A closed pipe, as in
//! `aftertake tasks list | head -1`, is no error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::exit::{Exit, Stop};
use crate::operate::List;

/// An answer that can be printed as text or as JSON.
pub(super) trait Answer: Serialize {
    /// The answer as text. `width` is the terminal's; without a terminal it is `None`, and nothing
    /// is cut.
    fn text(&self, width: Option<usize>) -> String;
}

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct OutFlags {
    /// Print one JSON document and nothing else
    #[arg(long)]
    pub json: bool,
}

impl OutFlags {
    pub(super) fn print(self, answer: &impl Answer) -> Result<(), Stop> {
        if self.json {
            document(answer)
        } else {
            print(&answer.text(terminal_width()))
        }
    }

    /// Prints a list; when there are more rows, says so on standard error.
    pub(super) fn print_list<Row, Id: Display>(
        self,
        list: List<Row>,
        id: impl Fn(&Row) -> Id,
    ) -> Result<Exit, Stop>
    where
        Vec<Row>: Answer,
    {
        let List { rows, more } = list;
        if more {
            let count = rows.len();
            let older = rows
                .last()
                .map(|last| format!(", --before {} older ones", id(last)));
            let older = older.unwrap_or_default();
            print_progress(&format!("{count} shown; --limit shows more{older}"));
        }
        self.print(&rows)?;
        Ok(Exit::Fine)
    }
}

pub(super) fn document(document: &impl Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(document);
    print(&(text.context("write JSON").map_err(failed)? + "\n"))
}

pub(super) fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(
            anyhow::Error::new(error).context("write to standard output"),
        )),
        _ => Ok(()),
    }
}

/// Writes a message to standard error. If that is closed or nobody reads it, the process continues
/// after `READ_WITHIN`.
pub(super) fn print_progress(text: &str) {
    let line = format!("{text}\n");
    let (tell, told) = channel();
    let write = move || {
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = tell.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = told.recv_timeout(READ_WITHIN);
    }
}

/// How long to wait until standard error takes the message.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Whether standard output is a terminal.
pub(super) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

fn terminal_width() -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(columns.into())
}

fn failed(error: anyhow::Error) -> Stop {
    Stop::new(Exit::Failed, error)
}
