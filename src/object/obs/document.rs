//! The XML documents of the OBS operations that are used. Sends no requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::xml::Node;
use crate::object::{Attributes, Names, ObjectMeta, Page};

/// An ETag without quotes: listings, headers and results differ in them.
pub(super) fn bare_etag(etag: &str) -> String {
    etag.trim().trim_matches('"').to_owned()
}

/// The ETag in a `CopyObjectResult`, `CopyPartResult` or `CompleteMultipartUploadResult`, which
/// confirms success.
pub(super) fn etag(result: &Node) -> Option<String> {
    result
        .text_of("ETag")
        .map(bare_etag)
        .filter(|etag| !etag.is_empty())
}

pub(super) fn listing(result: &Node) -> Option<Page> {
    let objects = result.all("Contents").map(|entry| {
        Some(ObjectMeta {
            key: entry.text_of("Key")?.to_owned(),
            size: entry.text_of("Size")?.trim().parse().ok()?,
            etag: etag(entry).unwrap_or_default(),
            attributes: Attributes {
                storage_class: entry.text_of("StorageClass").map(str::to_owned),
                ..Attributes::default()
            },
        })
    });
    Some(Page {
        objects: objects.collect::<Option<_>>()?,
        more: truncated(result)?,
    })
}

/// A `ListBucketResult` in which each folder is one name. Its `NextMarker` may be a folder's, and
/// the next page goes on behind all of that.
/// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0022.html>
pub(super) fn names(result: &Node) -> Option<Names> {
    let keys = result.all("Contents").map(|entry| entry.text_of("Key"));
    let keys: Option<Vec<&str>> = keys.collect();
    let next = if truncated(result)? {
        Some(result.text_of("NextMarker")?.to_owned())
    } else {
        None
    };
    Some(Names {
        keys: keys?.into_iter().map(str::to_owned).collect(),
        next,
    })
}

fn truncated(result: &Node) -> Option<bool> {
    result.text_of("IsTruncated")?.trim().parse().ok()
}

/// An `InitiateMultipartUploadResult`: the upload's id.
pub(super) fn upload_id(result: &Node) -> Option<String> {
    result.text_of("UploadId").map(str::to_owned)
}

pub(super) struct Uploads {
    pub(super) uploads: Vec<(String, String)>,
    /// Key and id markers of the next page.
    pub(super) next: Option<(String, String)>,
}

pub(super) fn uploads(result: &Node) -> Option<Uploads> {
    let entry = |entry: &Node| {
        Some((
            entry.text_of("Key")?.to_owned(),
            entry.text_of("UploadId")?.to_owned(),
        ))
    };
    let next = || {
        Some((
            result.text_of("NextKeyMarker")?.to_owned(),
            result.text_of("NextUploadIdMarker")?.to_owned(),
        ))
    };
    Some(Uploads {
        uploads: result.all("Upload").map(entry).collect::<Option<_>>()?,
        next: if truncated(result)? {
            Some(next()?)
        } else {
            None
        },
    })
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// From 1.
    pub(super) number: usize,
    pub(super) size: u64,
    pub(super) etag: String,
}

/// Parses a `ListPartsResult` into its parts and the part number after which the next page starts.
pub(super) fn parts(result: &Node) -> Option<(Vec<Part>, Option<usize>)> {
    let part = |part: &Node| {
        Some(Part {
            number: part.text_of("PartNumber")?.trim().parse().ok()?,
            size: part.text_of("Size")?.trim().parse().ok()?,
            etag: etag(part)?,
        })
    };
    let parts = result.all("Part").map(part).collect::<Option<Vec<_>>>()?;
    let next = if truncated(result)? {
        Some(parts.last()?.number)
    } else {
        None
    };
    Some((parts, next))
}

/// A `CompleteMultipartUpload` with the ETag of every part, from part 1.
pub(super) fn completion(etags: &[String]) -> String {
    let mut body = String::from("<CompleteMultipartUpload>");
    for (number, etag) in (1..).zip(etags) {
        let _ = write!(
            body,
            "<Part><PartNumber>{number}</PartNumber><ETag>\"{}\"</ETag></Part>",
            escape(etag.as_str())
        );
    }
    body + "</CompleteMultipartUpload>"
}

pub(super) fn tags(result: &Node) -> Option<BTreeMap<String, String>> {
    let tag = |tag: &Node| {
        Some((
            tag.child("Key")?.text().to_owned(),
            tag.child("Value")?.text().to_owned(),
        ))
    };
    result.child("TagSet")?.all("Tag").map(tag).collect()
}

pub(super) fn tagging(tags: &BTreeMap<String, String>) -> String {
    let mut body = String::from("<Tagging><TagSet>");
    for (key, value) in tags {
        let _ = write!(
            body,
            "<Tag><Key>{}</Key><Value>{}</Value></Tag>",
            escape(key.as_str()),
            escape(value.as_str())
        );
    }
    body + "</TagSet></Tagging>"
}

/// A quiet `Delete`: the response only lists failures.
pub(super) fn deletion(keys: &[String]) -> String {
    let mut body = String::from("<Delete><Quiet>true</Quiet>");
    for key in keys {
        let _ = write!(body, "<Object><Key>{}</Key></Object>", escape(key.as_str()));
    }
    body + "</Delete>"
}

/// A key that was not deleted, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undeleted {
    pub(super) key: String,
    pub(super) code: String,
    pub(super) message: String,
}

/// Parses a `DeleteResult`. An empty one means that all keys are deleted, so the name must match.
pub(super) fn undeleted(result: &Node) -> Option<Vec<Undeleted>> {
    if result.name() != "DeleteResult" {
        return None;
    }
    let entry = |entry: &Node| {
        Some(Undeleted {
            key: entry.text_of("Key")?.to_owned(),
            code: entry.text_of("Code")?.to_owned(),
            message: entry.text_of("Message").unwrap_or_default().to_owned(),
        })
    };
    result.all("Error").map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Node {
        Node::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn tagging_is_written_as_the_signed_example_has_it() {
        let tags = BTreeMap::from([("room".to_owned(), "room01".to_owned())]);
        assert_eq!(
            tagging(&tags),
            "<Tagging><TagSet><Tag><Key>room</Key><Value>room01</Value></Tag></TagSet></Tagging>"
        );
    }

    #[test]
    fn tags_read_back_with_spaces_and_empty_values() {
        let written = BTreeMap::from([
            ("a & b".to_owned(), String::new()),
            ("房间".to_owned(), " <1> ".to_owned()),
        ]);
        assert_eq!(tags(&parse(&tagging(&written))), Some(written));
    }

    #[test]
    fn listing_keeps_keys_whole_and_says_whether_more_follow() {
        let page = listing(&parse(
            "<ListBucketResult><IsTruncated>true</IsTruncated>\
             <Contents><Key> a+&amp;%20.ts</Key><Size>12</Size><ETag>\"e1\"</ETag></Contents>\
             <Contents><Key>b</Key><Size>0</Size><ETag>&quot;e2&quot;</ETag></Contents>\
             </ListBucketResult>",
        ))
        .unwrap();
        let seen: Vec<_> = page
            .objects
            .iter()
            .map(|object| (object.key.as_str(), object.size, object.etag.as_str()))
            .collect();
        assert_eq!(seen, [(" a+&%20.ts", 12, "e1"), ("b", 0, "e2")]);
        assert!(page.more);
        assert_eq!(listing(&parse("<ListBucketResult/>")), None);
    }

    #[test]
    fn listing_of_a_folder_goes_on_behind_the_folders_in_it() {
        let page = |inside: &str| {
            let prefixes = "<CommonPrefixes><Prefix>r/x/</Prefix></CommonPrefixes>";
            let text = format!(
                "<ListBucketResult>{inside}<Contents><Key>r/a</Key></Contents>{prefixes}</ListBucketResult>"
            );
            names(&parse(&text))
        };
        let keys = vec!["r/a".to_owned()];
        let next = None;
        let last = page("<IsTruncated>false</IsTruncated>");
        assert_eq!(
            last,
            Some(Names {
                keys: keys.clone(),
                next
            })
        );
        let next = Some("r/x/".to_owned());
        let first = page("<IsTruncated>true</IsTruncated><NextMarker>r/x/</NextMarker>");
        assert_eq!(first, Some(Names { keys, next }));
        assert_eq!(page("<IsTruncated>true</IsTruncated>"), None);
    }

    #[test]
    fn result_without_etag_is_no_success() {
        for (body, expected) in [
            (
                "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>",
                Some("e".to_owned()),
            ),
            (
                "<CopyObjectResult><ETag>\"\"</ETag></CopyObjectResult>",
                None,
            ),
            ("<CopyObjectResult/>", None),
            ("<Error><Code>InternalError</Code></Error>", None),
        ] {
            assert_eq!(etag(&parse(body)), expected, "{body}");
        }
    }

    #[test]
    fn uploads_go_on_from_both_markers() {
        let page = uploads(&parse(
            "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>1</UploadId></Upload>\
             <IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
             <NextUploadIdMarker>1</NextUploadIdMarker></ListMultipartUploadsResult>",
        ))
        .unwrap();
        assert_eq!(page.uploads, [("k".to_owned(), "1".to_owned())]);
        assert_eq!(page.next, Some(("k".to_owned(), "1".to_owned())));
    }

    #[test]
    fn parts_go_on_after_the_last_one() {
        let page = |truncated| {
            parse(&format!(
                "<ListPartsResult><IsTruncated>{truncated}</IsTruncated><Part><PartNumber>2</PartNumber>\
                 <ETag>\"e\"</ETag><Size>300</Size></Part></ListPartsResult>"
            ))
        };
        let part = || Part {
            number: 2,
            size: 300,
            etag: "e".to_owned(),
        };
        assert_eq!(parts(&page(true)), Some((vec![part()], Some(2))));
        assert_eq!(parts(&page(false)), Some((vec![part()], None)));
        assert_eq!(parts(&parse("<ListPartsResult/>")), None);
    }

    #[test]
    fn deletion_answers_only_failures() {
        assert_eq!(
            deletion(&["a&b".to_owned()]),
            "<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key></Object></Delete>"
        );
        let failed = undeleted(&parse(
            "<DeleteResult><Error><Key>a&amp;b</Key><Code>AccessDenied</Code>\
             <Message>no</Message></Error></DeleteResult>",
        ));
        let expected = Undeleted {
            key: "a&b".to_owned(),
            code: "AccessDenied".to_owned(),
            message: "no".to_owned(),
        };
        assert_eq!(failed, Some(vec![expected]));
        assert_eq!(undeleted(&parse("<DeleteResult/>")), Some(vec![]));
        assert_eq!(undeleted(&parse("<html><body/></html>")), None);
    }

    #[test]
    fn completion_lists_parts_in_order_from_one() {
        assert_eq!(
            completion(&["x".to_owned(), "y".to_owned()]),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"y\"</ETag></Part></CompleteMultipartUpload>"
        );
    }
}
