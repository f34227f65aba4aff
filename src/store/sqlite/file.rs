//! The files of a store: their names, owners and permissions.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
#[cfg(target_os = "linux")]
use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;

use super::error::OpenError;

pub(super) const LOG: &str = "-wal";
pub(super) const INDEX: &str = "-shm";
pub(super) const JOURNAL: &str = "-journal";
pub(super) const LOCK: &str = ".lock";

/// Access that a user of the store needs to its file.
pub(super) const USED: Access = Access::READ_OK.union(Access::WRITE_OK);

/// Owner only: callbacks name people and rooms.
const PRIVATE: u32 = 0o600;

pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The target if `path` is a symbolic link: SQLite keeps the log there, and all users of the store
/// must use the same lock.
pub(super) fn real(path: &Path) -> Result<PathBuf, OpenError> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => OpenError::DeadLink(path.to_owned()),
        _ => OpenError::unusable(path, error),
    })
}

/// Refuses something that is not a file, or not accessible. SQLite's message would say less, and
/// SQLite would create files next to it that the owner cannot use.
pub(super) fn refuse_unusable(path: &Path, access: Access) -> Result<(), OpenError> {
    let Ok(meta) = fs::metadata(path) else {
        return Ok(());
    };
    if !meta.is_file() {
        return Err(OpenError::unusable(path, "it is not a file"));
    }
    match rustix::fs::access(path, access) {
        Err(rustix::io::Errno::ACCESS) => Err(OpenError::NotAllowed {
            path: path.to_owned(),
            mode: meta.mode() & 0o777,
            owner: meta.uid(),
        }),
        Err(error) => Err(OpenError::io(path, "cannot use it", &error.into())),
        Ok(()) => Ok(()),
    }
}

/// Refuses a file that can be reached under another name. SQLite names the log and the index after
/// the file, so the users of two names see neither each other's commits nor each other's locks.
pub(super) fn refuse_other_names(path: &Path) -> Result<(), OpenError> {
    let Ok(meta) = fs::metadata(path) else {
        return Ok(());
    };
    match meta.nlink() {
        links @ 2.. => Err(OpenError::Linked {
            path: path.to_owned(),
            links,
        }),
        _ if is_mounted(path) => Err(OpenError::Mounted(path.to_owned())),
        _ => Ok(()),
    }
}

/// Whether the file itself is mounted, and not a folder that contains it.
#[cfg(target_os = "linux")]
fn is_mounted(path: &Path) -> bool {
    let mounts = mount(path).zip(mount(folder(path)));
    mounts.is_some_and(|(file, folder)| file != folder)
}

/// Other systems mount folders only.
#[cfg(not(target_os = "linux"))]
const fn is_mounted(_: &Path) -> bool {
    false
}

/// The id of the mount that this path leads to (`proc_pid_fdinfo(5)`); `None` without `/proc`.
#[cfg(target_os = "linux")]
fn mount(path: &Path) -> Option<String> {
    use std::os::fd::AsRawFd;

    // A handle that cannot read: closing it gives up no lock.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    Some(id.trim().to_owned())
}

/// A temporary file in the folder of `to`. Removes those of killed processes, which have no lock.
pub(super) fn unnamed(to: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    for entry in fs::read_dir(folder(to))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            remove_left(&entry.path())?;
        }
    }
    let file = tempfile::Builder::new()
        .prefix(prefix)
        .tempfile_in(folder(to))?;
    file.as_file().lock()?;
    close_to_others(file.as_file())?;
    Ok(file)
}

/// An empty one may just have been created and not be locked yet.
fn remove_left(path: &Path) -> io::Result<()> {
    let is_left = is_filled(path) && File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    match is_left.then(|| fs::remove_file(path)) {
        Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn is_filled(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}

/// Opens a file for writing, and creates it, private, if missing.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    match options.clone().create_new(true).mode(PRIVATE).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path),
        made => {
            let made = made?;
            close_to_others(&made)?;
            Ok(made)
        }
    }
}

/// Makes the file private, whatever the umask.
pub(super) fn close_to_others(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(PRIVATE))
}

/// The file's permissions, if others have any.
pub(super) fn open_to_others(file: &File) -> Option<u32> {
    let mode = file.metadata().ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Gives the file to the owner of `like`, or of its folder if it is missing: files created by root
/// must be usable by the service's user. Without root, the file keeps its owner.
pub(super) fn give_to_owner_of(like: &Path, file: &File) -> io::Result<()> {
    let there = fs::metadata(like);
    let is_new = there.is_err();
    let owner = there.or_else(|_| fs::metadata(folder(like)))?;
    if file.metadata()?.uid() == owner.uid() {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        Err(error) if is_new && error.kind() == ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

pub(super) fn folder(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Syncs the folder of this file.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// Reads the whole file into the page cache. On a cold disk, reading it in another order afterwards
/// takes a quarter of the time.
///
/// Not while this process has the database open: closing a file gives up all locks on it.
pub(super) fn read_ahead(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1024 * 1024];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// A file's identity, independent of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&fs::metadata(path)?))
    }
}

impl From<&fs::Metadata> for Identity {
    fn from(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
        }
    }
}

/// The identities of an open store's files.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    base: Identity,
    /// `None` if there was no log when it was opened.
    log: Option<Identity>,
}

impl Opened {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            base: Identity::of(path)?,
            log: Identity::of(&beside(path, LOG)).ok(),
        })
    }

    /// For the lock file.
    pub(super) fn to_text(&self) -> String {
        let words = [Some(self.base), self.log].map(|file| match file {
            Some(Identity { device, inode }) => format!("{device}:{inode}"),
            None => "-".to_owned(),
        });
        words.join(" ")
    }

    /// Parses [`Self::to_text`] for the store at `path`.
    pub(super) fn from_text(path: &Path, text: &str) -> Option<Self> {
        let mut words = text.split(' ').map(|word| {
            let (device, inode) = word.split_once(':')?;
            Some(Identity {
                device: device.parse().ok()?,
                inode: inode.parse().ok()?,
            })
        });
        Some(Self {
            path: path.to_owned(),
            base: words.next()??,
            log: words.next()?,
        })
    }

    /// A file that has been replaced or removed, so that nobody would find what is written to it.
    pub(super) fn gone(&self) -> Option<PathBuf> {
        let log = beside(&self.path, LOG);
        let is_there = |path, identity| Identity::of(path).is_ok_and(|now| now == identity);
        if !is_there(&self.path, self.base) {
            return Some(self.path.clone());
        }
        let log_is_there = self.log.is_none_or(|identity| is_there(&log, identity));
        (!log_is_there).then_some(log)
    }
}
