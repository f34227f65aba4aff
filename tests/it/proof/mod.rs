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
