//! The command line as scripts and people use it: the real program, its exit codes, and the exact
//! messages for common mistakes.

mod by_hand;
pub(crate) mod endings;
mod queue;
mod rules;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::database::Database;

/// The sample callback that Huawei publishes.
const SAMPLE: &str = include_str!("../callbacks/01_sparkrtc_hls_file_complete.json");

/// A folder to run the program in, with a clean environment.
struct Folder {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, &'static str)>,
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Folder {
    /// A folder with the example's rules and the sample callback.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules.example.yaml");
        std::fs::copy(example, dir.path().join("rules.yaml")).unwrap();
        std::fs::write(dir.path().join("callback.json"), SAMPLE).unwrap();
        Self {
            dir,
            env: Vec::new(),
        }
    }

    fn with_env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The default store's database.
    fn database(&self) -> Database {
        Database::of_program(self.dir.path())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The command with these arguments, to be run in this folder.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(self.env.iter().copied())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed; returns its output.
    #[track_caller]
    fn fine(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
        ran.out
    }

    /// Runs a command that must succeed; returns the JSON document that it prints.
    #[track_caller]
    fn json(&self, args: &[&str]) -> serde_json::Value {
        let args = [args, &["--json"]].concat();
        serde_json::from_str(&self.fine(&args)).unwrap()
    }

    /// Runs a command that must fail with `code`, an empty stdout and exactly `err` on stderr.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, err: &str) {
        let ran = self.run(args);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(code), "", err),
            "{args:?}"
        );
    }
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}
