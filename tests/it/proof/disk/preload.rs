//! Preloads `disk.c` between the program and its disk. It is compiled with `cc`, which building
//! the program needs anyway.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::trace::{self, Record};

/// The preloaded library's settings for one run of the program.
pub(super) struct Preload {
    folder: TempDir,
    watched: PathBuf,
    traced: bool,
}

impl Preload {
    /// For a program whose store is in this folder.
    pub(super) fn new(watched: &Path) -> Self {
        let folder = crate::support::folder_in_memory();
        let watched = watched.to_owned();
        let disk = Self {
            folder,
            watched,
            traced: true,
        };
        std::fs::write(disk.path("trace"), "").unwrap();
        disk.works();
        disk
    }

    /// Without a trace, which would grow by everything written.
    pub(super) fn untraced(self) -> Self {
        Self {
            traced: false,
            ..self
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds the library to the command.
    pub(super) fn beneath<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if self.traced {
            command.env("PROOF_TRACE", self.path("trace"));
        }
        command
            .env("LD_PRELOAD", library())
            .env("PROOF_WATCHED", &self.watched)
            .env("PROOF_FAULT", self.path("fault"))
    }

    /// Makes the operations of `fault` fail from now on; see `disk.c`.
    pub(super) fn fails(&self, fault: &str) {
        // In place: the program has this file mapped.
        let mut file = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path("fault"))
            .unwrap();
        file.write_all(fault.as_bytes()).unwrap();
    }

    pub(super) fn works(&self) {
        self.fails("--");
    }

    pub(super) fn trace(&self) -> Vec<Record> {
        trace::parse(&std::fs::read(self.path("trace")).unwrap())
    }
}

/// The library, compiled once per process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join("proof-disk.so");
        // Renamed into place: another process may be loading the library.
        let made = folder.join(format!("proof-disk-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proof/disk/disk.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let ran = Command::new(&compiler)
            .args([
                "-shared", "-fPIC", "-O0", "-Wall", "-Wextra", "-Werror", "-o",
            ])
            .args([&made, Path::new(source)])
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}"));
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        std::fs::rename(&made, &library).unwrap();
        library
    })
}
