//! `aftertake backup`: a consistent copy of the store.

use std::path::PathBuf;

use serde::Serialize;

use super::args::StoreFlag;
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags};
use super::store;
use crate::operate::bulk::Pace;
use crate::store::Unavailable;

/// Copy the store to a new file, also while it is served
///
/// The copy pauses two thirds of the time, to leave disk and processor to a running service. Until
/// it is finished, the store's log keeps what the service writes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aftertake backup /var/backups/aftertake.db")]
pub(super) struct Backup {
    /// The file to write; it must not exist
    file: PathBuf,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

#[derive(Debug, Serialize)]
struct Copied {
    store: String,
    file: String,
    bytes: u64,
}

impl Backup {
    pub(super) fn run(&self) -> Result<Exit, Stop> {
        let operator = store::sqlite(&self.store.store)?;
        let file = self.file.display().to_string();
        if self.file.exists() {
            let sentence = format!("{file} exists already; name a file that does not");
            return Err(Stop::with_message(Exit::Failed, sentence));
        }
        let mut pace = Pace::start();
        operator
            .backup(&self.file, move || pace.rest())
            .map_err(|error| failed(&file, error))?;
        self.out.print(&Copied {
            store: self.store.store.to_string(),
            bytes: std::fs::metadata(&self.file).map_or(0, |meta| meta.len()),
            file,
        })?;
        Ok(Exit::Fine)
    }
}

fn failed(file: &str, error: Unavailable) -> Stop {
    let exit = if error.is_malformed {
        Exit::BadSettings
    } else {
        Exit::Failed
    };
    let told = format!("copy the store to {file}");
    Stop::new(exit, anyhow::Error::new(error).context(told))
}

impl Answer for Copied {
    fn text(&self, _: Option<usize>) -> String {
        let Self { store, file, bytes } = self;
        format!("{store} is copied to {file}, {bytes} bytes\n")
    }
}
