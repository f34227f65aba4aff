//! Tests of what `docs/RELIABILITY.md` promises, on the real program: killed at any moment, run for
//! long, among idle connections, and on a disk that fails, is slow or loses what was not synced.

mod load;
mod torture;

// These read /proc.
#[cfg(target_os = "linux")]
mod idlers;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod soak;

// The disk's library is preloaded the way GNU/Linux does it.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    target_endian = "little"
))]
mod disk;

use std::path::Path;

/// SQLite's integrity check of the file.
fn sound(path: &Path) -> Result<(), String> {
    let conn = rusqlite::Connection::open(path).unwrap();
    let check = conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    match check {
        Ok(said) if said == "ok" => Ok(()),
        said => Err(format!("integrity_check: {said:?}")),
    }
}
