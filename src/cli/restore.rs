//! `aftertake restore`: replaces the store with a backup.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::args::StoreFlag;
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags};
use super::store;
use crate::clock;
use crate::config::StoreUrl;
use crate::store::sqlite::{self, RestoreError};

/// Replace the store with a backup; the store must not be served
///
/// Copies the backup, checks all of it, and upgrades it to this version. The store's old files are
/// not removed: they are renamed, and the new names are printed. Only they have the callbacks that
/// came after the backup: `aftertake events list --store sqlite:…` shows them. Recordings that were
/// renamed since are not where the backup says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  systemctl stop aftertake\n  aftertake restore /var/backups/aftertake.db --store sqlite:/var/lib/aftertake/aftertake.db\n  systemctl start aftertake"
)]
pub(super) struct Restore {
    /// A file written by `aftertake backup`
    file: PathBuf,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

#[derive(Debug, Serialize)]
struct PutBack {
    store: String,
    file: String,
    bytes: u64,
    aside: Vec<String>,
}

impl Restore {
    pub(super) fn run(&self) -> Result<Exit, Stop> {
        let StoreUrl::Sqlite(path) = &self.store.store;
        let restored = sqlite::restore(&self.file, path, clock::now()).map_err(stop)?;
        let aside = restored.aside.iter();
        self.out.print(&PutBack {
            store: self.store.store.to_string(),
            file: self.file.display().to_string(),
            bytes: restored.bytes,
            aside: aside.map(|path| path.display().to_string()).collect(),
        })?;
        Ok(Exit::Fine)
    }
}

fn stop(error: RestoreError) -> Stop {
    let exit = match &error {
        RestoreError::Missing(_) | RestoreError::NotAFile(_) | RestoreError::Unreadable { .. } => {
            Exit::NoInput
        }
        RestoreError::Itself(_) => Exit::Usage,
        RestoreError::InUse(_) | RestoreError::Failed { .. } => Exit::Failed,
        RestoreError::Foreign(_) | RestoreError::Newer { .. } | RestoreError::Malformed { .. } => {
            Exit::BadSettings
        }
        RestoreError::Open(error) => store::exit_of(error),
    };
    Stop::new(exit, error)
}

impl Answer for PutBack {
    fn text(&self, _: Option<usize>) -> String {
        let Self {
            store,
            file,
            bytes,
            aside,
        } = self;
        let mut text = format!("{store} is what {file} holds, {bytes} bytes\n");
        for name in aside {
            let _ = writeln!(text, "moved aside: {name}");
        }
        text
    }
}
