//! Percent-encoding for OBS: keys, query values, copy sources and metadata.
//!
//! A key must be encoded exactly once, and identically in the URL and the signed resource.
//! Everything except `A-Z a-z 0-9 - _ . ~` (and `/` as separator) is encoded, as in both official
//! SDKs; a space is `%20`, not `+`.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
const KEY: &AsciiSet = &VALUE.remove(b'/');

/// A key for the URL's path and the signed resource.
pub(super) fn key(key: &str) -> String {
    utf8_percent_encode(key, KEY).to_string()
}

pub(super) fn value(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// The header value that names the source of a copy. `?` is encoded, or it would start a version
/// id.
/// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0082.html>
pub(super) fn copy_source(bucket: &str, source: &str) -> String {
    format!("/{bucket}/{}", key(source))
}

/// A custom metadata value. Headers are ASCII only
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0091.html>). Only forbidden bytes
/// are encoded, so that a value that was read is written unchanged.
pub(super) fn metadata_value(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, b' '..=b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_encode_as_the_official_clients_encode_them() {
        for (plain, encoded) in [
            (
                "录制/room 01/a+b~c(1)!.mp4",
                "%E5%BD%95%E5%88%B6/room%2001/a%2Bb~c%281%29%21.mp4",
            ),
            ("a//b/", "a//b/"),
            ("50%41?x#y&z=1", "50%2541%3Fx%23y%26z%3D1"),
            ("-_.~'*@:;,$", "-_.~%27%2A%40%3A%3B%2C%24"),
            ("🎬", "%F0%9F%8E%AC"),
        ] {
            assert_eq!(key(plain), encoded);
        }
    }

    #[test]
    fn slash_of_a_query_value_is_encoded() {
        assert_eq!(value("/new/a b.mp4"), "%2Fnew%2Fa%20b.mp4");
    }

    #[test]
    fn copy_source_cannot_be_mistaken_for_one_with_a_version() {
        assert_eq!(
            copy_source("b1", "src/会议.mp4"),
            "/b1/src/%E4%BC%9A%E8%AE%AE.mp4"
        );
        assert_eq!(copy_source("b1", "a?versionId=1"), "/b1/a%3FversionId%3D1");
    }

    #[test]
    fn metadata_that_a_header_can_carry_is_left_alone() {
        assert_eq!(metadata_value("a %E5 ~b"), "a %E5 ~b");
        assert_eq!(metadata_value("会\n"), "%E4%BC%9A%0A");
    }

    proptest! {
        #[test]
        fn encoded_key_decodes_to_the_key(plain in "\\PC{0,40}") {
            let encoded = key(&plain);
            let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
            prop_assert_eq!(decoded, plain);
        }
    }
}
