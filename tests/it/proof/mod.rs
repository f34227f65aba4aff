//! Proof of what is promised: the real program, killed at any moment, for long, among idlers,
//! and on a disk that fails, is slow or loses what it was not told to keep. `docs/RELIABILITY.md` says what is promised.

mod load;
mod torture;

// They look at the program in /proc.
#[cfg(target_os = "linux")]
mod idlers;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod soak;

// What stands between the program and its disk is preloaded, as the GNU system can do it.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    target_endian = "little"
))]
mod disk;

use std::path::Path;

/// Whether SQLite finds its own file whole.
fn sound(path: &Path) -> Result<(), String> {
    let conn = rusqlite::Connection::open(path).unwrap();
    let check = conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    match check {
        Ok(said) if said == "ok" => Ok(()),
        said => Err(format!("integrity_check: {said:?}")),
    }
}
