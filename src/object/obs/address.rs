//! Builds the URLs of requests: the endpoint, with the bucket in the host name or path.
//!
//! The URL parser drops `.` and `..` segments, so its result is compared with the encoded path: a
//! request must never go to another key.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0007.html>

use url::{Host, Url};

use super::encode;
use super::sign::Query;
use crate::model::bucket::Addressing;
use crate::model::failure::{Failure, FailureKind};

#[derive(Debug)]
pub(super) struct Address {
    scheme: String,
    /// Host, and port unless it is the scheme's default.
    authority: String,
    addressing: Addressing,
}

impl Address {
    /// Refuses an endpoint that contains the bucket's name, the usual cause of wrong signatures,
    /// and a host such as an IP address that cannot have the bucket's name before it.
    pub(super) fn new(
        endpoint: &Url,
        addressing: Addressing,
        bucket: &str,
    ) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            let reason = format!("bucket {bucket:?}: endpoint {endpoint} {why}");
            Err(Failure::new(FailureKind::Invalid, reason))
        };
        let Some(host) = endpoint.host() else {
            return refuse("has no host");
        };
        if endpoint.path() != "/" || endpoint.query().is_some() {
            return refuse("has a path or a query; give scheme and host only");
        }
        if addressing == Addressing::Virtual {
            if !matches!(host, Host::Domain(_)) {
                return refuse("is an IP address; use `addressing: path`");
            }
            if host.to_string().starts_with(&format!("{bucket}.")) {
                return refuse("names the bucket; give the region's endpoint");
            }
        }
        let port = endpoint.port().map(|port| format!(":{port}"));
        Ok(Self {
            scheme: endpoint.scheme().to_owned(),
            authority: format!("{host}{}", port.unwrap_or_default()),
            addressing,
        })
    }

    pub(super) fn site(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The URL of an object, or of the bucket when `key` is empty.
    pub(super) fn link(&self, bucket: &str, key: &str, query: &Query) -> String {
        let (origin, path, query) = self.split(bucket, key, query);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{origin}{path}{mark}{query}")
    }

    /// [`Self::link`] as a URL, refused when the parser changed its path.
    pub(super) fn url(&self, bucket: &str, key: &str, query: &Query) -> Result<Url, Failure> {
        let (_, path, encoded) = self.split(bucket, key, query);
        let url = Url::parse(&self.link(bucket, key, query)).ok();
        url.filter(|url| url.path() == path && url.query().unwrap_or_default() == encoded)
            .ok_or_else(|| {
                let reason = format!("key {key:?} in bucket {bucket:?} is not valid in a URL");
                Failure::new(FailureKind::Invalid, reason)
            })
    }

    fn split(&self, bucket: &str, key: &str, query: &Query) -> (String, String, String) {
        let key = encode::key(key);
        let (origin, path) = match self.addressing {
            Addressing::Virtual => (
                format!("{}://{bucket}.{}", self.scheme, self.authority),
                format!("/{key}"),
            ),
            Addressing::Path => (self.site(), format!("/{bucket}/{key}")),
        };
        let parameters: Vec<String> = query
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{name}={}", encode::value(value)),
                None => (*name).to_owned(),
            })
            .collect();
        (origin, path, parameters.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(endpoint: &str, addressing: Addressing) -> Result<Address, Failure> {
        Address::new(&endpoint.parse().unwrap(), addressing, "b1")
    }

    #[test]
    fn bucket_stands_in_the_host_or_in_the_path() {
        let home = "https://obs.cn-north-4.myhuaweicloud.com";
        let query = vec![("uploadId", Some("a/b".to_owned())), ("acl", None)];
        for (endpoint, addressing, expected) in [
            (
                home,
                Addressing::Virtual,
                "https://b1.obs.cn-north-4.myhuaweicloud.com/a%20b?uploadId=a%2Fb&acl",
            ),
            (
                "http://127.0.0.1:80/",
                Addressing::Path,
                "http://127.0.0.1/b1/a%20b?uploadId=a%2Fb&acl",
            ),
            (
                "http://[::1]:9000",
                Addressing::Path,
                "http://[::1]:9000/b1/a%20b?uploadId=a%2Fb&acl",
            ),
        ] {
            let address = address(endpoint, addressing).unwrap();
            assert_eq!(address.link("b1", "a b", &query), expected);
            assert_eq!(address.url("b1", "a b", &query).unwrap().as_str(), expected);
        }
        assert_eq!(address(home, Addressing::Virtual).unwrap().site(), home);
    }

    #[test]
    fn paths_reach_the_wire_as_they_were_built() {
        let address = address("https://obs.example.com", Addressing::Virtual).unwrap();
        for key in [
            "/a", "a//b", "a/", "//", "a/.../b", "a\\b", "%2E%2E/x", "a;b'c",
        ] {
            let url = address.url("b1", key, &vec![]).unwrap();
            assert_eq!(url.path(), format!("/{}", encode::key(key)));
        }
        for key in [".", "..", "a/../b", "a/./b", "a/.."] {
            assert_eq!(
                address.url("b1", key, &vec![]).unwrap_err().kind,
                FailureKind::Invalid,
                "{key}"
            );
        }
    }

    #[test]
    fn endpoints_that_cannot_work_are_refused_with_the_way_out() {
        for (endpoint, way_out) in [
            ("https://b1.obs.example.com", "give the region's endpoint"),
            ("http://127.0.0.1:9000", "use `addressing: path`"),
            ("https://obs.example.com/b1", "give scheme and host only"),
        ] {
            let failure = address(endpoint, Addressing::Virtual).unwrap_err();
            assert!(failure.reason.contains(way_out), "{failure}");
        }
    }
}
