//! House rules that the compiler does not check: which part may name which, and that every file says
//! what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each part of `src`, and the other parts it may name. `lib.rs` only lists the parts and is
/// exempt.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("supervision", &[]),
    ("yaml", &["model"]),
    ("chat", &["model"]),
    ("recorder", &["model"]),
    ("rules", &["model", "recorder", "yaml", "chat"]),
    ("store", &["model", "recorder"]),
    ("telemetry", &["model", "clock"]),
    ("config", &["model"]),
    ("object", &["model", "clock"]),
    ("outbound", &["model", "clock"]),
    ("action", &["model", "chat", "object", "outbound", "clock"]),
    (
        "in_force",
        &[
            "model", "recorder", "rules", "store", "action", "object", "outbound",
        ],
    ),
    (
        "worker",
        &[
            "model",
            "rules",
            "store",
            "action",
            "in_force",
            "clock",
            "telemetry",
            "supervision",
        ],
    ),
    (
        "intake",
        &[
            "model",
            "recorder",
            "in_force",
            "store",
            "worker",
            "telemetry",
            "supervision",
        ],
    ),
    (
        "http",
        &[
            "model",
            "recorder",
            "in_force",
            "intake",
            "store",
            "clock",
            "telemetry",
            "supervision",
        ],
    ),
    (
        "app",
        &[
            "model",
            "clock",
            "supervision",
            "yaml",
            "rules",
            "store",
            "telemetry",
            "config",
            "object",
            "in_force",
            "worker",
            "intake",
            "http",
        ],
    ),
    (
        "operate",
        &[
            "model", "clock", "chat", "rules", "store", "object", "outbound", "action",
        ],
    ),
    (
        "cli",
        &[
            "app", "operate", "clock", "config", "rules", "recorder", "store", "model",
        ],
    ),
    ("main", &["cli"]),
];

/// What the pure parts must not name: they do no I/O and never wait.
const IMPURE: [&str; 6] = [
    "async fn", "tokio", "reqwest", "std::fs", "std::net", "std::env",
];

/// Words of one recorder only: its name, and names from its callbacks.
const RECORDERS_WORDS: [&str; 6] = [
    "sparkrtc",
    "x-rtc",
    "obs_bucket",
    "obs_object",
    "obs_location",
    "\"result\":\"success\"",
];

/// Where a recorder may be named: the list of recorders, its folder, and its section of the rules file.
/// Templates and documents use the field names of `event.rs`, and the demo plays the recorder.
const RECORDERS_PLACES: [&str; 5] = [
    "src/model/recorder.rs",
    "src/recorder/",
    "src/rules/file/callbacks/",
    "src/model/event.rs",
    "src/cli/demo/",
];

/// What a test names that opens a database itself.
const DATABASE: [&str; 2] = ["rusqlite::", "store::sqlite::"];

struct Source {
    path: PathBuf,
    /// The names from the crate's root to the file's module: `["http", "server"]`.
    module: Vec<String>,
    text: String,
}

impl Source {
    fn part(&self) -> &str {
        &self.module[0]
    }

    /// The lines without comments, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.lines().map(|line| match line.split_once("//") {
            Some((code, _comment)) => code,
            None => line,
        });
        (1..).zip(code)
    }

    /// The lines outside tests.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_tests = ["tests", "fixtures"].contains(&self.module.last().unwrap().as_str());
        self.lines()
            .take_while(move |(_, line)| !is_tests && !line.contains("mod tests {"))
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn sources() -> Vec<Source> {
    sources_in("src")
}

fn sources_in(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(folder, &root, &path));
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

fn source(folder: &str, root: &Path, path: &Path) -> Source {
    let file = path.strip_prefix(root).unwrap();
    let inside = file.with_extension("");
    let mut module: Vec<String> = inside
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if module.len() > 1 && module.last().unwrap() == "mod" {
        module.pop();
    }
    Source {
        path: Path::new(folder).join(file),
        module,
        text: fs::read_to_string(path).unwrap(),
    }
}

/// The parts that `code` names after `root` (`crate::` or `aftertake::`), with line numbers: one name,
/// or those of a group in braces, which may span lines.
fn named<'a>(code: &'a str, root: &'a str) -> Vec<(usize, &'a str)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(root) {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(members(group).map(|name| (line, name))),
            None => names.push((line, first_name(rest))),
        }
    }
    names
}

/// The first name of each member of a group whose brace was just opened.
fn members(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 1;
    let end = group.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    });
    let mut depth = 0;
    group[..end.unwrap()]
        .split(move |c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            c == ',' && depth == 0
        })
        .map(|member| first_name(member.trim_start()))
        .filter(|name| !name.is_empty())
}

fn first_name(path: &str) -> &str {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    &path[..end.unwrap_or(path.len())]
}

fn strangers(source: &Source) -> Vec<String> {
    let Some((_, allowed)) = LAYERS.iter().find(|(part, _)| *part == source.part()) else {
        return vec![format!(
            "{}: {:?} is no part of the table above",
            source.path.display(),
            source.part()
        )];
    };
    let root = match source.part() {
        "main" => "aftertake::",
        _ => "crate::",
    };
    let lines: Vec<&str> = source.lines().map(|(_, line)| line).collect();
    named(&lines.join("\n"), root)
        .into_iter()
        .filter(|(_, name)| *name != source.part() && !allowed.contains(name))
        .map(|(line, name)| {
            format!(
                "{}: {} may not name {name:?}",
                source.at(line),
                source.part()
            )
        })
        .collect()
}

/// Lines that reach the crate's root through `super`, where [`strangers`] cannot see what they name. An
/// inline module, such as `tests`, is one deeper.
fn climbers(source: &Source) -> Vec<String> {
    let mut depth = source.module.len();
    let mut climbers = Vec::new();
    for (number, line) in source.lines() {
        if line.starts_with("mod ") && line.trim_end().ends_with('{') {
            depth += 1;
        }
        let steps = line.matches("super::").count();
        if steps >= depth {
            climbers.push(format!("{}: write crate:: here", source.at(number)));
        }
    }
    climbers
}

#[track_caller]
fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn parts_name_only_what_lies_below_them() {
    let offences: Vec<String> = sources()
        .iter()
        .filter(|source| source.part() != "lib")
        .flat_map(|source| strangers(source).into_iter().chain(climbers(source)))
        .collect();
    assert_none(&offences);
}

/// The parts listed in the code map of `lib.rs`, in its order.
fn mapped(lib: &str) -> Vec<&str> {
    let map = lib.split("//! # Code map").nth(1).unwrap();
    let map = map.split("//! # ").next().unwrap();
    let lines = map.lines().filter_map(|line| line.strip_prefix("//! - `"));
    lines.map(first_name).collect()
}

#[test]
fn code_map_lists_every_part_in_the_order_of_the_table() {
    let lib = sources()
        .into_iter()
        .find(|source| source.part() == "lib")
        .unwrap();
    let parts: Vec<&str> = LAYERS.iter().map(|(part, _)| *part).collect();
    assert_eq!(mapped(&lib.text), parts[..parts.len() - 1], "but for main");
    let declared: BTreeSet<&str> = lib
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(declared, mapped(&lib.text).into_iter().collect());
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let offences: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: open it with a //! line", source.path.display()))
        .collect();
    assert_none(&offences);
}

#[test]
fn pure_parts_do_no_input_or_output() {
    let mut offences = Vec::new();
    for source in sources() {
        if !["model", "yaml", "chat", "rules"].contains(&source.part()) {
            continue;
        }
        for (number, line) in source.product() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                offences.push(format!("{}: {word}", source.at(number)));
            }
        }
    }
    assert_none(&offences);
}

#[test]
fn recorder_is_named_only_where_the_next_one_would_be_added() {
    let mut offences = Vec::new();
    for source in sources() {
        let path = source.path.to_string_lossy();
        if RECORDERS_PLACES.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (number, line) in source.product() {
            let line = line.to_lowercase();
            for word in RECORDERS_WORDS.iter().filter(|word| line.contains(**word)) {
                offences.push(format!("{}: {word}", source.at(number)));
            }
        }
    }
    assert_none(&offences);
}

/// All other tests reach a store through `support`.
#[test]
fn only_tests_of_what_is_sqlites_own_open_a_database() {
    let mut offences = Vec::new();
    for source in sources_in("tests/it") {
        let is_its_own = source.text.starts_with("//! SQLite's own: ");
        if is_its_own || ["support", "layering"].contains(&source.part()) {
            continue;
        }
        for (number, line) in source.lines() {
            for word in DATABASE.iter().filter(|word| line.contains(**word)) {
                offences.push(format!("{}: {word}", source.at(number)));
            }
        }
    }
    assert_none(&offences);
}

#[test]
fn names_are_found_singly_in_groups_and_inside_expressions() {
    for (code, names) in [
        ("\nuse crate::store::Store;", vec![(2, "store")]),
        (
            "use crate::{\n    model::{id, task},\n    http,\n};",
            vec![(1, "model"), (1, "http")],
        ),
        (
            "    f(crate::clock::now(), crate::app)",
            vec![(1, "clock"), (1, "app")],
        ),
        ("pub(crate) fn f() {}", vec![]),
    ] {
        assert_eq!(named(code, "crate::"), names, "{code}");
    }
}
