//! `aftertake backup`: a copy of the store as it is at one moment.

use std::path::PathBuf;

use super::args::StoreFlag;
use super::exit::{Exit, Stop};
use super::store;

/// Copy the store to a new file, also while it is served
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aftertake backup /var/backups/aftertake.db")]
pub(super) struct Backup {
    /// The file to write; it must not exist
    file: PathBuf,
    #[command(flatten)]
    store: StoreFlag,
}

impl Backup {
    pub(super) fn run(&self) -> Result<Exit, Stop> {
        store::desk(&self.store.store)?
            .backup(&self.file)
            .map_err(store::unavailable)?;
        Ok(Exit::Fine)
    }
}
