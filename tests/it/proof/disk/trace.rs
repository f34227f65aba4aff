//! Parses the trace that `disk.c` writes.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) process: u32,
    pub(super) thread: u32,
    /// The file's name in the watched folder; empty for the folder itself.
    pub(super) name: String,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The file exists from now on; perhaps it did before.
    Created,
    Wrote {
        at: usize,
        data: Vec<u8>,
    },
    /// The file was truncated to this length.
    Cut(usize),
    SyncBegun,
    Synced,
    /// The thread's latest operation was refused.
    Refused,
    Removed,
    /// An HTTP response is about to leave for this port.
    Answered {
        port: u16,
        status: u16,
    },
}

/// The records in order. The last one may be torn if the program was killed.
pub(super) fn parse(mut bytes: &[u8]) -> Vec<Record> {
    std::iter::from_fn(|| record(&mut bytes)).collect()
}

fn record(bytes: &mut &[u8]) -> Option<Record> {
    let mut rest = *bytes;
    let mut take = |length: usize| rest.split_off(..length);
    let mut number = |length: usize| -> Option<u64> {
        let mut whole = [0; 8];
        whole[..length].copy_from_slice(take(length)?);
        Some(u64::from_le_bytes(whole))
    };
    let [kind, process, thread, name] = [number(4)?, number(4)?, number(4)?, number(4)?];
    let [offset, length] = [number(8)?, number(8)?];
    let name = take(size(name))?;
    let data = take(size(length))?;
    *bytes = rest;
    Some(Record {
        process: u32::try_from(process).unwrap(),
        thread: u32::try_from(thread).unwrap(),
        name: String::from_utf8(name.to_vec()).unwrap(),
        what: what(kind, offset, data),
    })
}

fn what(kind: u64, offset: u64, data: &[u8]) -> What {
    match u8::try_from(kind).unwrap() {
        b'c' => What::Created,
        b'w' => What::Wrote {
            at: size(offset),
            data: data.to_vec(),
        },
        b't' => What::Cut(size(offset)),
        b's' => What::SyncBegun,
        b'S' => What::Synced,
        b'x' => What::Refused,
        b'u' => What::Removed,
        b'a' => What::Answered {
            port: u16::try_from(offset).unwrap(),
            status: str::from_utf8(data).unwrap().parse().unwrap(),
        },
        other => panic!("disk.c writes no {other}"),
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
