//! Listings of a folder: its files in key order, page by page.

use std::ffi::OsStr;

use super::dir::{Dir, Entry};
use super::disk::Folder;
use super::path::{OWN, failure, names_of};
use crate::model::failure::{Failure, FailureKind};
use crate::object::{Attributes, Names, ObjectMeta, Page};

/// Objects per page, as in OBS.
const PAGE: usize = 1000;

struct Listing<'a> {
    folder: &'a Folder,
    prefix: &'a str,
    after: &'a str,
    objects: Vec<ObjectMeta>,
    more: bool,
}

impl Folder {
    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let mut listing = Listing {
            folder: self,
            prefix,
            after: after.unwrap_or(""),
            objects: Vec::new(),
            more: false,
        };
        listing.walk(&self.dir()?, "")?;
        Ok(Page {
            objects: listing.objects,
            more: listing.more,
        })
    }

    /// The files directly in a directory, from `after` on. Each directory in it counts as one name.
    pub(super) fn names(&self, folder: &str, after: Option<&str>) -> Result<Names, Failure> {
        let Some(dir) = self.directory(folder)? else {
            return Ok(Names::default());
        };
        let mut names = names(&dir, folder)?;
        names.retain(|name| after.is_none_or(|after| name.as_str() > after));
        let more = names.len() > PAGE;
        names.truncate(PAGE);
        let next = names.last().filter(|_| more).cloned();
        names.retain(|name| !name.ends_with('/'));
        Ok(Names { keys: names, next })
    }

    /// The directory of this name and a slash; `None` when there is none.
    fn directory(&self, folder: &str) -> Result<Option<Dir>, Failure> {
        let mut dir = Some(self.dir()?);
        let Some(path) = folder.strip_suffix('/') else {
            return Ok(dir);
        };
        // No directory has a name that none can have.
        let Ok(names) = names_of(path) else {
            return Ok(None);
        };
        for name in names {
            dir = match dir {
                Some(dir) => not_linked(dir.directory(OsStr::new(name)))?,
                None => return Ok(None),
            };
        }
        Ok(dir)
    }
}

impl Listing<'_> {
    /// Collects the objects below `dir`, whose keys begin with `above`, in key order, until there
    /// is one more than a page. A directory sorts as its name plus a slash: `a-b` comes before
    /// `a/b`.
    fn walk(&mut self, dir: &Dir, above: &str) -> Result<(), Failure> {
        for key in names(dir, above)? {
            if self.more {
                break;
            }
            match key.strip_suffix('/') {
                None if key.starts_with(self.prefix) && key.as_str() > self.after => {
                    self.object(dir, key)?;
                }
                Some(folder) if self.goes_into(&key) => {
                    if let Some(dir) = not_linked(dir.directory(last(folder)))? {
                        self.walk(&dir, &key)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn goes_into(&self, folder: &str) -> bool {
        (folder.starts_with(self.prefix) || self.prefix.starts_with(folder))
            && (folder > self.after || self.after.starts_with(folder))
    }

    fn object(&mut self, dir: &Dir, key: String) -> Result<(), Failure> {
        let Some((mut file, metadata)) = not_linked(dir.file(last(&key)))? else {
            return Ok(());
        };
        if self.objects.len() == PAGE {
            self.more = true;
            return Ok(());
        }
        let etag = self.folder.etags.of(&key, &mut file, &metadata);
        self.objects.push(ObjectMeta {
            size: metadata.len(),
            etag: etag.map_err(|error| failure(&dir.path_of(last(&key)), &error))?,
            attributes: Attributes::default(),
            key,
        });
        Ok(())
    }
}

/// The sorted keys of the files in `dir`, and of its directories with a slash.
fn names(dir: &Dir, above: &str) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    for name in dir.names()? {
        let Some(name) = name.to_str().filter(|name| *name != OWN) else {
            continue;
        };
        match dir.entry(OsStr::new(name))? {
            Some(Entry::File) => keys.push(format!("{above}{name}")),
            Some(Entry::Directory) => keys.push(format!("{above}{name}/")),
            // Links are not followed; the entry may also have vanished.
            Some(Entry::Link | Entry::Other) | None => {}
        }
    }
    keys.sort_unstable();
    Ok(keys)
}

/// Skips a link that appeared after its name was read.
fn not_linked<T>(opened: Result<Option<T>, Failure>) -> Result<Option<T>, Failure> {
    match opened {
        Err(failure) if failure.kind == FailureKind::Forbidden => Ok(None),
        opened => opened,
    }
}

fn last(key: &str) -> &OsStr {
    OsStr::new(key.rsplit_once('/').map_or(key, |(_, name)| name))
}
