//! The thread that writes the log, and its bounded queue.
//!
//! Logging puts a line into the queue and never waits. When the reader is slow or gone, or the disk
//! is full, lines are lost and counted; nothing else happens.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::line::{Escapes, clean};

/// Bytes of waiting lines: some thousand lines.
const ROOM: usize = 1024 * 1024;

/// How long a line waits for others to be written together with it.
const GATHER: Duration = Duration::from_millis(2);

/// Bytes per write. The last line may exceed them.
const BATCH: usize = 64 * 1024;

/// How long [`Log`]'s drop waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Lost lines. Global, as the process has one log.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines that found no room in the queue or could not be written, since the process started.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

fn lose(lines: usize) {
    LOST.fetch_add(lines as u64, Ordering::Relaxed);
}

/// The running log. Dropping it waits up to one second for the last lines.
#[derive(Debug)]
#[must_use = "the last lines are written when it is dropped"]
pub struct Log {
    queue: Sender<Message>,
    ended: Receiver<()>,
}

/// The writer for `tracing`: one write is one line.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    escapes: Escapes,
}

#[derive(Debug)]
enum Message {
    Line(String),
    End,
}

/// Starts the thread, which writes to `to`; without `to`, every line is lost.
pub(super) fn start(
    to: Option<impl Write + Send + 'static>,
    escapes: Escapes,
) -> io::Result<(Log, Lines)> {
    let (queue, inbox) = channel();
    let (end, ended) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let lines = Lines {
        queue: queue.clone(),
        waiting: Arc::clone(&waiting),
        escapes,
    };
    std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || {
            if let Some(to) = to {
                write(to, &inbox, &waiting);
            }
            let _ = end.send(());
        })?;
    Ok((Log { queue, ended }, lines))
}

fn write(mut to: impl Write, inbox: &Receiver<Message>, waiting: &AtomicUsize) {
    let mut told = lost();
    let mut ended = false;
    while !ended && let Ok(Message::Line(mut lines)) = inbox.recv() {
        // Waking a thread costs more than writing a line.
        std::thread::sleep(GATHER);
        while lines.len() < BATCH
            && let Ok(message) = inbox.try_recv()
        {
            match message {
                Message::Line(line) => lines.push_str(&line),
                Message::End => ended = true,
            }
        }
        let left = put_all(&mut to, lines.as_bytes());
        let waits = waiting.fetch_sub(lines.len(), Ordering::SeqCst) - lines.len();
        if !left.is_empty() {
            lose(count(left));
        } else if waits == 0 {
            told = print(told);
        }
    }
}

fn count(lines: &[u8]) -> usize {
    lines.split_inclusive(|byte| *byte == b'\n').count()
}

/// Writes the lines; returns the rest if one cannot be written.
fn put_all<'a>(to: &mut impl Write, mut lines: &'a [u8]) -> &'a [u8] {
    while !lines.is_empty() {
        match to.write(lines) {
            Ok(0) => break,
            Ok(written) => lines = &lines[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines
}

/// Logs how many lines were lost since `told`. Called only when the queue is empty, so that this
/// line displaces no other.
fn print(told: u64) -> u64 {
    let lost = lost();
    if lost > told {
        tracing::warn!(
            lines = lost - told,
            "log lines were lost: nobody took them, or they could not be written"
        );
    }
    lost
}

impl Lines {
    fn put(&self, line: String) {
        let length = line.len();
        let waits = self.waiting.fetch_add(length, Ordering::SeqCst) + length;
        if waits > ROOM || self.queue.send(Message::Line(line)).is_err() {
            self.waiting.fetch_sub(length, Ordering::SeqCst);
            lose(1);
        }
    }
}

impl Write for &Lines {
    /// Never fails: the caller could do nothing about it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.put(clean(&text, self.escapes).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.queue.send(Message::End).is_ok() {
            // Written or not, the process ends.
            let _ = self.ended.recv_timeout(LAST_LINES);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk with room for this many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = lines.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn line_that_is_not_written_whole_is_left() {
        let lines = "one\ntwo\nö\n".as_bytes();
        for (room, left) in [(0, 3), (4, 2), (6, 2), (9, 1), (11, 0)] {
            let rest = put_all(&mut Full(room), lines);
            assert_eq!(count(rest), left, "{room}");
        }
    }

    #[test]
    fn end_waits_for_the_last_lines_each_of_which_is_one() {
        let file = Written::default();
        let (log, lines) = start(Some(file.clone()), Escapes::All).unwrap();
        for line in ["a\nforged\u{1b}\n", "b\n"] {
            (&lines).write_all(line.as_bytes()).unwrap();
        }
        drop(log);
        let written = file.0.lock().unwrap();
        assert_eq!(*written, b"a\\u000aforged\\u001b\nb\n");
    }
}
