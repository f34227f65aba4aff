//! The files of a store: their names, whose they are and who may read them.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use tempfile::NamedTempFile;

use super::error::OpenError;

/// How the names of a store's other files end.
pub(super) const LOG: &str = "-wal";
pub(super) const INDEX: &str = "-shm";
pub(super) const JOURNAL: &str = "-journal";
pub(super) const LOCK: &str = ".lock";

/// What whoever uses a store must be allowed to do with its file.
pub(super) const USED: Access = Access::READ_OK.union(Access::WRITE_OK);

/// For the owner alone: callbacks name people and rooms.
const PRIVATE: u32 = 0o600;

/// The file of the store at `path` whose name ends so.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Where the store is when `path` is a link: SQLite keeps the log there, and everybody who
/// uses the store must mean the same lock.
pub(super) fn real(path: &Path) -> Result<PathBuf, OpenError> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => OpenError::DeadLink(path.to_owned()),
        _ => OpenError::unusable(path, error),
    })
}

/// Refuses what is there and is no file, or none that this process may use so. SQLite would say
/// less, and would make files beside it that its owner cannot use.
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

/// A file without its name yet, in the folder of `to`. One that a killed process has left there
/// is removed: nobody has a lock on it.
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

/// An empty one may have been made a moment ago, and get its lock now.
fn remove_left(path: &Path) -> io::Result<()> {
    let is_left = is_filled(path) && File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    match is_left.then(|| fs::remove_file(path)) {
        Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is anything in the file.
pub(super) fn is_filled(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}

/// Opens a file for writing, and makes it if it is not there.
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

/// Lets only its owner read and write the file, whatever the umask says.
pub(super) fn close_to_others(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(PRIVATE))
}

/// The rights of the file, where others have any.
pub(super) fn open_to_others(file: &File) -> Option<u32> {
    let mode = file.metadata().ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Gives the file to the owner of `like`, or of its folder where it is not there. Root makes
/// files that the user who serves could not open otherwise; anybody else who may write to the
/// folder keeps what he makes there.
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

/// The folder that the file is in.
pub(super) fn folder(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes durable which files the folder of this one has.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// Has the system read the file, from its beginning to its end. What visits it in another order
/// afterwards takes a quarter of the time on a disk that nothing was read from before.
///
/// Not while this process has the database open: closing a file gives up all locks on it.
pub(super) fn read_ahead(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1024 * 1024];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Which file it is, whatever its name.
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

/// The files of a store that is open, to be found again by their names.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    base: Identity,
    /// `None` where it had no log when it was opened.
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

    /// In words of the lock file.
    pub(super) fn to_text(&self) -> String {
        let words = [Some(self.base), self.log].map(|file| match file {
            Some(Identity { device, inode }) => format!("{device}:{inode}"),
            None => "-".to_owned(),
        });
        words.join(" ")
    }

    /// The files of the store at `path` that those words are of.
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

    /// The file that has another's name now, or none: what is written to it nobody finds.
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
