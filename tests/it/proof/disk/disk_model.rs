//! A model of what a disk holds after a power loss.
//!
//! The system caches writes in memory, by pages, until a sync writes them to the disk. A failed
//! sync marks its pages as clean: the disk never gets them, every process still reads them from
//! the cache, and the next sync succeeds without them
//! (<https://wiki.postgresql.org/wiki/Fsync_Errors>). A file's name is durable only once its
//! folder is synced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::name_of;
use super::trace::{Record, What};

/// Unit of the system's cache, in bytes.
const PAGE: usize = 4096;
/// Unit that a disk writes atomically, in bytes.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(super) struct DiskModel {
    files: Vec<File>,
    /// Files by name, as every process sees them.
    seen: BTreeMap<String, usize>,
    /// Files by name, as the disk has them.
    kept: BTreeMap<String, usize>,
    /// Syncs in progress by process and thread, with the pages that were dirty when they began.
    syncs: BTreeMap<(u32, u32), Sync>,
}

#[derive(Debug, Default)]
struct File {
    seen: Vec<u8>,
    kept: Vec<u8>,
    /// Dirty pages: not yet on the disk.
    owed: BTreeSet<usize>,
}

#[derive(Debug)]
enum Sync {
    Folder(BTreeMap<String, usize>),
    File {
        file: usize,
        length: usize,
        pages: Vec<(usize, Vec<u8>)>,
    },
}

impl DiskModel {
    /// Applies the record. SQLite rebuilds its `-shm` after a power loss.
    pub(super) fn apply(&mut self, record: &Record) {
        let Record { name, what, .. } = record;
        let whose = (record.process, record.thread);
        match what {
            _ if name.ends_with("-shm") => {}
            What::Created => {
                self.file(name);
            }
            What::Wrote { at, data } => self.file(name).write(*at, data),
            What::Cut(length) => self.file(name).cut(*length),
            What::Removed => {
                self.seen.remove(name);
            }
            What::SyncBegun => {
                let sync = self.begin(name);
                self.syncs.insert(whose, sync);
            }
            What::Synced => match self.syncs.remove(&whose).unwrap() {
                Sync::Folder(names) => self.kept = names,
                Sync::File {
                    file,
                    length,
                    pages,
                } => self.files[file].keep(length, pages),
            },
            What::Refused => {
                if let Some(Sync::File { file, .. }) = self.syncs.remove(&whose) {
                    self.files[file].owed.clear();
                }
            }
            What::Answered { .. } => {}
        }
    }

    /// Reads what a killed program had written without a record.
    pub(super) fn look_at(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "db-shm") {
                continue;
            }
            let (there, file) = (std::fs::read(&path).unwrap(), self.file(&name_of(&path)));
            file.cut(there.len());
            for at in (0..there.len()).step_by(PAGE) {
                let page = &there[at..there.len().min(at + PAGE)];
                if file.seen[at..at + page.len()] != *page {
                    file.write(at, page);
                }
            }
        }
    }

    /// The files after a power loss. For each unsynced write, `kept` says whether it reached the
    /// disk all the same.
    pub(super) fn survivors<'a>(
        &'a self,
        kept: &mut dyn FnMut() -> bool,
    ) -> BTreeMap<&'a str, Vec<u8>> {
        let names = if kept() { &self.seen } else { &self.kept };
        let file =
            |(name, file): (&'a String, &usize)| (name.as_str(), self.files[*file].survivor(kept));
        names.iter().map(file).collect()
    }

    fn file(&mut self, name: &str) -> &mut File {
        let next = self.files.len();
        let number = *self.seen.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.files.push(File::default());
        }
        &mut self.files[number]
    }

    fn begin(&mut self, name: &str) -> Sync {
        if name.is_empty() {
            return Sync::Folder(self.seen.clone());
        }
        self.file(name);
        let number = self.seen[name];
        let file = &self.files[number];
        Sync::File {
            file: number,
            length: file.seen.len(),
            pages: file
                .owed
                .iter()
                .map(|page| (*page, file.page(*page)))
                .collect(),
        }
    }
}

impl File {
    fn write(&mut self, at: usize, data: &[u8]) {
        let end = at + data.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(data);
        self.owed.extend(at / PAGE..end.div_ceil(PAGE));
    }

    fn cut(&mut self, length: usize) {
        self.seen.resize(length, 0);
        self.owed.retain(|page| page * PAGE < length);
    }

    fn page(&self, page: usize) -> Vec<u8> {
        let end = self.seen.len().min((page + 1) * PAGE);
        self.seen[page * PAGE..end].to_vec()
    }

    fn keep(&mut self, length: usize, pages: Vec<(usize, Vec<u8>)>) {
        self.kept.resize(length, 0);
        for (page, content) in pages {
            let at = page * PAGE;
            self.kept[at..at + content.len()].copy_from_slice(&content);
            if self.page(page) == content {
                self.owed.remove(&page);
            }
        }
    }

    fn survivor(&self, kept: &mut dyn FnMut() -> bool) -> Vec<u8> {
        let mut content = self.kept.clone();
        let sectors = self.owed.iter().flat_map(|page| {
            let end = self.seen.len().min((page + 1) * PAGE);
            (page * PAGE..end)
                .step_by(SECTOR)
                .map(move |at| (at, end.min(at + SECTOR)))
        });
        for (at, end) in sectors.filter(|_| kept()) {
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at..end].copy_from_slice(&self.seen[at..end]);
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(happened: &[(&str, What)]) -> BTreeMap<String, Vec<u8>> {
        let mut platter = DiskModel::default();
        for (name, what) in happened {
            platter.apply(&Record {
                process: 1,
                thread: 1,
                name: (*name).to_owned(),
                what: what.clone(),
            });
        }
        let survivors = platter.survivors(&mut || false).into_iter();
        survivors
            .map(|(name, content)| (name.to_owned(), content))
            .collect()
    }

    fn wrote(data: &str) -> What {
        What::Wrote {
            at: 0,
            data: data.into(),
        }
    }

    #[test]
    fn only_what_was_synced_is_kept() {
        let named = [("", What::SyncBegun), ("", What::Synced)];
        let synced = [("a", What::SyncBegun), ("a", What::Synced)];
        let failed = [("a", What::SyncBegun), ("a", What::Refused)];
        let (old, new) = ([("a", wrote("old"))], [("a", wrote("new"))]);
        let base = [&old[..], &named, &synced].concat();
        let late = [synced[0].clone(), new[0].clone(), synced[1].clone()];
        for (more, kept) in [
            (vec![], "old"),
            ([&new[..], &synced].concat(), "new"),
            (new.to_vec(), "old"),
            (late.to_vec(), "old"),
            // The sync that succeeds after a failed one writes nothing.
            ([&new[..], &failed, &synced].concat(), "old"),
            // What is written again is dirty again.
            ([&new[..], &failed, &new, &synced].concat(), "new"),
        ] {
            let kept = BTreeMap::from([("a".to_owned(), kept.as_bytes().to_vec())]);
            assert_eq!(after(&[&base[..], &more].concat()), kept, "{more:?}");
        }
        assert!(after(&[&old[..], &synced].concat()).is_empty());
    }
}
