//! The real rename of a parallel file system.
//!
//! It is not safe to repeat: after a lost response the source may be gone and a second request is
//! refused. So after an error both ends are checked.
//! <https://support.huaweicloud.com/api-obs/obs_04_0094.html>

use bytes::Bytes;
use http::Method;

use super::ObsStore;
use super::client::Call;
use super::error::Error;
use super::head::Head;
use crate::model::failure::FailureKind;
use crate::object::{Attributes, Copy, ObjectMeta};

impl ObsStore {
    /// Renames a file, or finds that it already was.
    pub(super) async fn rename_file(&self, rename: Copy<'_>) -> Result<ObjectMeta, Error> {
        let Err(error) = self.ask_rename(rename).await else {
            return self.arrived(rename).await;
        };
        if !matches!(
            error.failure.kind,
            FailureKind::Unknown | FailureKind::Missing | FailureKind::Conflict
        ) {
            return Err(error);
        }
        let source = self.look(&self.bucket, rename.from).await?;
        let target = self.look(&self.bucket, rename.to).await?;
        match (source, target) {
            (None, Some(target)) if is_it(&target, rename) => Ok(target.meta),
            // Undocumented whether missing parents are created. A 404 with an existing source can
            // only mean that they are not.
            (Some(_), None) if error.failure.kind == FailureKind::Missing => {
                self.make_folder(rename.to).await?;
                self.ask_rename(rename).await?;
                self.arrived(rename).await
            }
            _ => Err(error),
        }
    }

    async fn ask_rename(&self, rename: Copy<'_>) -> Result<(), Error> {
        let call = Call::object("rename", Method::POST, &self.bucket, rename.from)
            // The operation requires an absolute path.
            .query("name", format!("/{}", rename.to))
            .about("rename")
            .once();
        self.client.confirm(&call).await.map(|_| ())
    }

    async fn arrived(&self, rename: Copy<'_>) -> Result<ObjectMeta, Error> {
        let target = self.look(&self.bucket, rename.to).await?;
        let size = target.as_ref().map(|target| target.meta.size);
        target
            .filter(|target| target.meta.size == rename.size)
            .map(|target| target.meta)
            .ok_or_else(|| {
                let reason = format!(
                    "rename {:?} to {:?} in bucket {:?}: OBS answered success, but the target's size is {size:?} \
                     bytes, not {}",
                    rename.from, rename.to, self.bucket, rename.size
                );
                Error::new(FailureKind::Unknown, reason)
            })
    }

    /// Creates the folder of a key: an empty object whose key ends in `/`.
    async fn make_folder(&self, key: &str) -> Result<(), Error> {
        if let Some((folder, _)) = key.rsplit_once('/') {
            let folder = format!("{folder}/");
            self.write(&folder, Bytes::new(), &Attributes::default())
                .await?;
        }
        Ok(())
    }
}

fn is_it(target: &Head, rename: Copy<'_>) -> bool {
    target.meta.size == rename.size && target.meta.etag == rename.etag
}
