//! Object tags, and custom metadata, which replaces them where a bucket has no tags.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0172.html>

use std::collections::BTreeMap;

use http::{HeaderValue, Method};

use super::client::Call;
use super::error::Error;
use super::head::metadata_headers;
use super::{ObsStore, document, encode};
use crate::model::failure::FailureKind;
use crate::object::TagSupport;

impl ObsStore {
    pub(super) async fn tags_of(&self, bucket: &str, key: &str) -> Result<TagSupport, Error> {
        let call = Call::object("read the tags of", Method::GET, bucket, key).about("tagging");
        match self.client.read(&call, document::tags).await {
            Ok(tags) => Ok(TagSupport::Tags(tags)),
            // The object exists and has no tags.
            Err(error) if error.is("NoSuchTagSet") => Ok(TagSupport::Tags(BTreeMap::new())),
            Err(error) if error.failure.kind == FailureKind::Unsupported => {
                Ok(TagSupport::Unsupported)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn give_tags(
        &self,
        key: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = if tags.is_empty() {
            Call::object("delete the tags of", Method::DELETE, &self.bucket, key).about("tagging")
        } else {
            Call::object("tag", Method::PUT, &self.bucket, key)
                .about("tagging")
                .document(document::tagging(tags))
        };
        self.client.confirm(&call).await.map(|_| ())
    }

    /// Replaces the object's custom metadata; OBS's own metadata stays.
    /// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0091.html>
    pub(super) async fn give_metadata(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = Call::object("set the metadata of", Method::PUT, &self.bucket, key)
            .about("metadata")
            .header(
                "x-obs-metadata-directive",
                HeaderValue::from_static("REPLACE_NEW"),
            )
            .headers(&metadata_headers(metadata)?);
        match self.client.confirm(&call).await {
            Ok(_) => Ok(()),
            Err(mut error) if error.failure.kind == FailureKind::Denied => {
                error.failure.reason += "; the access key needs obs:object:ModifyObjectMetaData";
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

pub(super) fn tagging_header(tags: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = tags
        .iter()
        .map(|(key, value)| format!("{}={}", encode::value(key), encode::value(value)))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_header_are_encoded() {
        let tags = BTreeMap::from([
            ("a=b".to_owned(), "1&2".to_owned()),
            ("房".to_owned(), String::new()),
        ]);
        assert_eq!(tagging_header(&tags), "a%3Db=1%262&%E6%88%BF=");
    }
}
