//! Copies by parts, which OBS requires above 5 GiB.
//!
//! An open upload uses paid space until it is ended, so the log notes it before and after it is
//! opened. A failed upload is ended. One that was stopped, or whose process died, stays open, and
//! the next try resumes it. Failed parts are retried here, because starting over would lose all
//! others.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0100.html>

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Method};

use super::client::Call;
use super::copy::source_headers;
use super::document::Part;
use super::error::Error;
use super::head::header_value;
use super::tagging::tagging_header;
use super::upload::Note;
use super::{ObsStore, document};
use crate::clock;
use crate::model::failure::{Disposition, FailureKind};
use crate::model::retry::RetryPolicy;
use crate::object::{Copy, CopyHalted, CopyStopped, TagSupport, UploadLog};

/// Parts of one object that are copied at a time.
const AT_ONCE: usize = 4;
/// Maximum parts of an object
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0099.html>).
const PARTS: u64 = 10_000;
/// Tries of one part, and of the completion, within one try of the copy.
const TRIES: u32 = 3;

impl ObsStore {
    /// Returns the copy's ETag. `headers` are those of the new object.
    pub(super) async fn copy_by_parts(
        &self,
        copy: Copy<'_>,
        headers: HeaderMap,
        log: &mut dyn UploadLog,
    ) -> Result<String, CopyStopped> {
        if let Some((id, parts)) = self.taken_up(copy, log).await? {
            return match self.fill(copy, &id, parts, log).await {
                Ok(etag) => Ok(etag),
                Err(stopped) => self.give_up(copy, &id, log, stopped).await,
            };
        }
        let headers = self.with_tags(copy, headers).await?;
        let note = Note::Opening {
            before: self.open_uploads(copy.to).await?,
        };
        log.record(Some(&note.text())).await?;
        let id = match self.initiate(copy.to, &headers).await {
            Ok(id) => id,
            Err(error) => {
                // The response may be lost and the upload appear later: then keep the note.
                let ended = self.end_noted(copy.to, &note).await.is_ok();
                if ended && error.failure.kind != FailureKind::Unknown {
                    log.record(None).await?;
                }
                return Err(error.into());
            }
        };
        let filled = async {
            let note = Note::Open { id: id.clone() };
            log.record(Some(&note.text())).await?;
            self.fill(copy, &id, Vec::new(), log).await
        };
        match filled.await {
            Ok(etag) => Ok(etag),
            Err(stopped) => self.give_up(copy, &id, log, stopped).await,
        }
    }

    /// The open upload of an earlier try and its parts, if this copy can use it. The parts match
    /// the source, because each was conditional on the same ETag.
    async fn taken_up(
        &self,
        copy: Copy<'_>,
        log: &mut dyn UploadLog,
    ) -> Result<Option<(String, Vec<Part>)>, Error> {
        let noted = log.recorded().map(Note::parse).transpose();
        let Some(Note::Open { id }) = noted? else {
            return Ok(None);
        };
        let Some(parts) = self.parts(copy.to, &id).await? else {
            return Ok(None);
        };
        let ranges = ranges(copy.size, self.part_size);
        let is_ours = |part: &Part| {
            let range = part.number.checked_sub(1).and_then(|at| ranges.get(at));
            range.is_some_and(|(first, last)| part.size == last + 1 - first)
        };
        if parts.iter().all(is_ours) {
            return Ok(Some((id, parts)));
        }
        // It was opened with another part size.
        self.end_upload(copy.to, &id).await?;
        Ok(None)
    }

    /// Ends an upload after a failure, unless it completed after all.
    async fn give_up(
        &self,
        copy: Copy<'_>,
        id: &str,
        log: &mut dyn UploadLog,
        stopped: CopyStopped,
    ) -> Result<String, CopyStopped> {
        if stopped == CopyStopped::Halted {
            return Err(stopped);
        }
        match self.end_upload(copy.to, id).await {
            Ok(Some(completed)) => Ok(completed.meta.etag),
            Ok(None) => {
                log.record(None).await?;
                Err(stopped)
            }
            // Keep the note, so that the next try ends the upload.
            Err(_) => Err(stopped),
        }
    }

    async fn with_tags(&self, copy: Copy<'_>, mut headers: HeaderMap) -> Result<HeaderMap, Error> {
        if let TagSupport::Tags(tags) = self.tags_of(copy.source, copy.from).await?
            && !tags.is_empty()
        {
            let tags = header_value("x-obs-tagging", &tagging_header(&tags))?;
            headers.insert("x-obs-tagging", tags);
        }
        self.drop_what_files_lack(&mut headers).await?;
        Ok(headers)
    }

    async fn fill(
        &self,
        copy: Copy<'_>,
        id: &str,
        parts: Vec<Part>,
        log: &mut dyn UploadLog,
    ) -> Result<String, CopyStopped> {
        let etags = self.copy_parts(copy, id, parts, log).await?;
        Ok(self.complete(copy.to, id, &etags).await?)
    }

    /// Copies the missing parts. After a failure no new ones start, and running ones are waited
    /// for: a part that outlives its upload may use paid space.
    async fn copy_parts(
        &self,
        copy: Copy<'_>,
        id: &str,
        there: Vec<Part>,
        log: &mut dyn UploadLog,
    ) -> Result<Vec<String>, CopyStopped> {
        let ranges = ranges(copy.size, self.part_size);
        let mut etags = vec![String::new(); ranges.len()];
        for part in there {
            etags[part.number - 1] = part.etag;
        }
        let is_missing = |number: &usize| etags[number - 1].is_empty();
        let missing: Vec<usize> = (1..=ranges.len()).filter(is_missing).collect();
        let mut stopped = None;
        let stop = AtomicBool::new(false);
        let parts = missing
            .into_iter()
            .map(|number| (number, ranges[number - 1]))
            .take_while(|_| !stop.load(Ordering::Relaxed))
            .map(async |(number, range)| (number, self.copy_part(copy, id, number, range).await));
        let mut parts = std::pin::pin!(stream::iter(parts).buffer_unordered(AT_ONCE));
        while let Some((number, copied)) = parts.next().await {
            match copied {
                Ok(etag) => {
                    etags[number - 1] = etag;
                    log.gained();
                }
                Err(error) => stopped = stopped.or(Some(error.into())),
            }
            if let Err(CopyHalted) = log.go_on() {
                stopped = Some(CopyStopped::Halted);
            }
            stop.store(stopped.is_some(), Ordering::Relaxed);
        }
        stopped.map_or(Ok(etags), Err)
    }

    async fn copy_part(
        &self,
        copy: Copy<'_>,
        id: &str,
        number: usize,
        (first, last): (u64, u64),
    ) -> Result<String, Error> {
        let range = format!("bytes={first}-{last}");
        // Copying a part twice is harmless.
        let call = Call::object("copy a part to", Method::PUT, &self.bucket, copy.to)
            .query("partNumber", number.to_string())
            .query("uploadId", id)
            .headers(&source_headers(copy)?)
            .header("x-obs-copy-source-range", header_value("range", &range)?)
            .patient();
        let mut tries = 1;
        loop {
            match self.client.read(&call, document::etag).await {
                Err(error) if tries < TRIES && may_pass(&error) => pause(tries).await,
                outcome => return outcome,
            }
            tries += 1;
        }
    }

    /// Completes the upload. Before a retry, checks whether the object already exists.
    async fn complete(&self, key: &str, id: &str, etags: &[String]) -> Result<String, Error> {
        let call = Call::object("complete the copy to", Method::POST, &self.bucket, key)
            .query("uploadId", id)
            .document(document::completion(etags))
            .once()
            .patient();
        let mut tries = 1;
        loop {
            let error = match self.client.read(&call, document::etag).await {
                Ok(etag) => return Ok(etag),
                Err(error) => error,
            };
            if let Some(completed) = self.came_out_of(key, id).await? {
                return Ok(completed.meta.etag);
            }
            if tries == TRIES || !may_pass(&error) {
                return Err(error);
            }
            pause(tries).await;
            tries += 1;
        }
    }
}

fn ranges(size: u64, part_size: u64) -> Vec<(u64, u64)> {
    let part_size = part_size.max(size.div_ceil(PARTS)).max(1);
    (0..size.div_ceil(part_size))
        .map(|part| {
            let first = part * part_size;
            (first, size.min(first + part_size) - 1)
        })
        .collect()
}

/// Whether to retry immediately. Not after `SourceChanged`, which needs a new manifest.
fn may_pass(error: &Error) -> bool {
    let kind = error.failure.kind;
    kind.disposition() == Disposition::Retry && kind != FailureKind::SourceChanged
}

async fn pause(tries: u32) {
    let policy = RetryPolicy {
        first: Duration::from_millis(200),
        ..RetryPolicy::default()
    };
    tokio::time::sleep(policy.delay(tries, clock::jitter())).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn last_part_is_what_is_left() {
        assert_eq!(ranges(25, 10), [(0, 9), (10, 19), (20, 24)]);
        assert_eq!(ranges(20, 10), [(0, 9), (10, 19)]);
        assert_eq!(ranges(1, 10), [(0, 0)]);
    }

    proptest! {
        #[test]
        fn parts_cover_every_byte_once_and_are_not_too_many(
            size in 1..50_000_000_000_000u64,
            part_size in 100_000_000..5_000_000_000u64,
        ) {
            let ranges = ranges(size, part_size);
            prop_assert!(ranges.len() as u64 <= PARTS);
            let mut next = 0;
            for (first, last) in ranges {
                prop_assert_eq!(first, next);
                prop_assert!(last >= first);
                next = last + 1;
            }
            prop_assert_eq!(next, size);
        }
    }
}
