//! Reads a write-ahead log like SQLite, without SQLite, which would play it onto the file next to
//! it (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

/// First number of a log with little-endian checksums. Plus one: big-endian.
const MAGIC: u32 = 0x377f_0682;

const VERSION: u32 = 3_007_000;

const BUFFER: usize = 1024 * 1024;

/// The whole commits of a log.
pub(super) struct Log<T> {
    /// What was looked for, in the order written.
    pub(super) found: Vec<T>,
    pages: HashSet<u32>,
    /// Size of the database in pages after the last commit.
    size: u32,
}

impl<T> Log<T> {
    /// Collects what `look` finds in the pages of whole commits; `None` if SQLite would play
    /// nothing.
    pub(super) fn read(
        path: &Path,
        look: impl Fn(u32, &[u8]) -> Option<T>,
    ) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let Some(mut frames) = Frames::begin(BufReader::with_capacity(BUFFER, file))? else {
            return Ok(None);
        };
        let mut log = Self {
            found: Vec::new(),
            pages: HashSet::new(),
            size: 0,
        };
        let (mut found, mut pages) = (Vec::new(), Vec::new());
        while let Some(Frame { page, size }) = frames.next()? {
            pages.push(page);
            found.extend(look(page, &frames.content));
            if size > 0 {
                log.found.append(&mut found);
                log.pages.extend(pages.drain(..));
                log.size = size;
            }
        }
        Ok((log.size > 0).then_some(log))
    }

    /// Whether the log has every page of the database, so that nothing of the file remains.
    pub(super) fn is_whole(&self) -> bool {
        (1..=self.size).all(|page| self.pages.contains(&page))
    }
}

struct Frame {
    page: u32,
    /// Size of the database in pages if the frame ends a commit, else 0.
    size: u32,
}

/// Iterates over the frames up to the first that does not belong to the log.
struct Frames<R> {
    log: R,
    salts: [u8; 8],
    sum: Sum,
    content: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Reads the header; `None` if SQLite would not accept it.
    fn begin(mut log: R) -> io::Result<Option<Self>> {
        let mut header = [0; 32];
        if !fill(&mut log, &mut header)? {
            return Ok(None);
        }
        let mut sum = Sum::new(word(&header) & 1 == 1);
        sum.add(&header[..24]);
        let page = word(&header[8..]);
        let is_one = word(&header) & !1 == MAGIC
            && word(&header[4..]) == VERSION
            && page.is_power_of_two()
            && (512..=65536).contains(&page)
            && sum.is(&header[24..]);
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Ok(is_one.then(|| Self {
            log,
            salts,
            sum,
            content: vec![0; page as usize],
        }))
    }

    fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut header = [0; 24];
        if !fill(&mut self.log, &mut header)? || !fill(&mut self.log, &mut self.content)? {
            return Ok(None);
        }
        self.sum.add(&header[..8]);
        self.sum.add(&self.content);
        let page = word(&header);
        let is_next = page > 0 && header[8..16] == self.salts && self.sum.is(&header[16..]);
        Ok(is_next.then(|| Frame {
            page,
            size: word(&header[4..]),
        }))
    }
}

struct Sum {
    is_big_endian: bool,
    first: u32,
    second: u32,
}

impl Sum {
    fn new(is_big_endian: bool) -> Self {
        Self {
            is_big_endian,
            first: 0,
            second: 0,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let (first, second) = (self.word(pair), self.word(&pair[4..]));
            self.first = self.first.wrapping_add(first).wrapping_add(self.second);
            self.second = self.second.wrapping_add(second).wrapping_add(self.first);
        }
    }

    fn word(&self, bytes: &[u8]) -> u32 {
        let word = word(bytes);
        if self.is_big_endian {
            word
        } else {
            word.swap_bytes()
        }
    }

    fn is(&self, stored: &[u8]) -> bool {
        (word(stored), word(&stored[4..])) == (self.first, self.second)
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// Fills the buffer; answers whether there were enough bytes.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A log of three commits, each of one page except the first, and its connection.
    fn logged(folder: &Path) -> (Connection, std::path::PathBuf) {
        let conn = Connection::open(folder.join("a.db")).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1); \
             INSERT INTO t VALUES (2)",
        )
        .unwrap();
        (conn, folder.join("a.db-wal"))
    }

    fn pages(log: &Path) -> Option<Vec<u32>> {
        let log = Log::read(log, |page, _| Some(page)).unwrap();
        log.map(|log| log.found)
    }

    #[test]
    fn whole_commits_are_read_and_nothing_behind_them() {
        let dir = tempfile::tempdir().unwrap();
        let (conn, log) = logged(dir.path());
        assert_eq!(pages(&log), Some(vec![1, 2, 2, 2]));
        let whole = std::fs::read(&log).unwrap();
        let frame = 24 + 4096;
        for (cut, kept) in [
            (whole.len() - 1, Some(vec![1, 2, 2])),
            (32 + 2 * frame, Some(vec![1, 2])),
            // The first commit has two pages.
            (32 + frame, None),
            (31, None),
        ] {
            std::fs::write(&log, &whole[..cut]).unwrap();
            assert_eq!(pages(&log), kept, "{cut}");
        }
        for broken in [0, 20, 32 + 8, 32 + 24 + 99] {
            let mut bytes = whole.clone();
            bytes[broken] ^= 1;
            std::fs::write(&log, bytes).unwrap();
            assert_eq!(pages(&log), None, "{broken}");
        }
        drop(conn);
    }

    #[test]
    fn log_that_began_anew_ends_where_the_old_one_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (conn, log) = logged(dir.path());
        let brought = conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
        brought.unwrap();
        conn.execute_batch("INSERT INTO t VALUES (3)").unwrap();
        assert_eq!(pages(&log), Some(vec![2]));
        let whole = Log::read(&log, |_, _| Some(())).unwrap().unwrap();
        assert!(!whole.is_whole());
    }

    #[test]
    fn log_of_a_new_database_holds_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (_conn, log) = logged(dir.path());
        let log = Log::read(&log, |_, _| Some(())).unwrap().unwrap();
        assert!(log.is_whole());
    }
}
