//! An object's access rights: OBS's access control policy.
//!
//! A copy is private whatever its source is, so we read the source's rights and give them to the
//! copy: in the same request if a canned policy expresses them, otherwise in a second one. Until
//! then the copy is less accessible, never more.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0089.html>

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, Method};
use quick_xml::escape::escape;

use super::ObsStore;
use super::client::Call;
use super::error::Error;
use super::xml::Node;
use crate::model::failure::FailureKind;
use crate::object::Rights;

const HEADER: &str = "x-obs-acl";
const PUBLIC_READ: &str = "public-read";
const FULL_CONTROL: &str = "FULL_CONTROL";

/// Everyone, or an account by its id.
#[derive(Debug, PartialEq, Eq)]
enum Grantee {
    Everyone,
    Account(String),
}

#[derive(Debug, PartialEq, Eq)]
struct Policy {
    owner: String,
    /// Whether the object inherits the bucket's rights; OBS's term.
    delivered: Option<String>,
    grants: Vec<(Grantee, String)>,
}

impl ObsStore {
    pub(super) async fn rights_of(&self, bucket: &str, key: &str) -> Result<Rights, Error> {
        let call = Call::object("read the access rights of", Method::GET, bucket, key).about("acl");
        match self.client.read(&call, Policy::read).await {
            Ok(policy) => Ok(policy.rights()),
            Err(error) if error.failure.kind == FailureKind::Unsupported => Ok(Rights::Private),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn give_rights(&self, key: &str, rights: &Rights) -> Result<(), Error> {
        let call = Call::object("set the access rights of", Method::PUT, &self.bucket, key);
        let call = call.about("acl");
        let call = match rights {
            Rights::Shared(policy) if is_document(policy) => call.document(policy.clone()),
            Rights::Shared(_) => call.headers(&canned(rights)),
            Rights::Private => call.header(HEADER, HeaderValue::from_static("private")),
        };
        self.client.confirm(&call).await.map(|_| ())
    }

    /// Sets the rights that [`canned`] headers could not express.
    pub(super) async fn complete_rights(&self, key: &str, rights: &Rights) -> Result<(), Error> {
        match rights {
            Rights::Shared(policy) if is_document(policy) => self.give_rights(key, rights).await,
            Rights::Shared(_) | Rights::Private => Ok(()),
        }
    }
}

/// Headers that create an object with these rights, where a canned policy can express them.
pub(super) fn canned(rights: &Rights) -> HeaderMap {
    match rights {
        Rights::Shared(policy) if policy == PUBLIC_READ => HeaderMap::from_iter([(
            http::HeaderName::from_static(HEADER),
            HeaderValue::from_static(PUBLIC_READ),
        )]),
        Rights::Shared(_) | Rights::Private => HeaderMap::new(),
    }
}

fn is_document(policy: &str) -> bool {
    policy.starts_with('<')
}

impl Policy {
    fn read(root: &Node) -> Option<Self> {
        let grant = |grant: &Node| {
            let grantee = grant.child("Grantee")?;
            let grantee = match (grantee.text_of("Canned"), grantee.text_of("ID")) {
                (Some("Everyone"), _) => Grantee::Everyone,
                (None, Some(id)) => Grantee::Account(id.to_owned()),
                _ => return None,
            };
            Some((grantee, grant.text_of("Permission")?.to_owned()))
        };
        let list = root.child("AccessControlList")?;
        Some(Self {
            owner: root.child("Owner")?.text_of("ID")?.to_owned(),
            delivered: root.text_of("Delivered").map(str::to_owned),
            grants: list.all("Grant").map(grant).collect::<Option<_>>()?,
        })
    }

    fn rights(&self) -> Rights {
        let owner = Grantee::Account(self.owner.clone());
        let (own, others): (Vec<_>, Vec<_>) = self
            .grants
            .iter()
            .partition(|(grantee, _)| *grantee == owner);
        let full = own.iter().any(|(_, permission)| permission == FULL_CONTROL);
        match others.as_slice() {
            [] => Rights::Private,
            [(Grantee::Everyone, permission)] if full && permission == "READ" => {
                Rights::Shared(PUBLIC_READ.to_owned())
            }
            _ => Rights::Shared(self.document()),
        }
    }

    fn document(&self) -> String {
        let owner = escape(self.owner.as_str());
        let mut body = format!("<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>");
        if let Some(delivered) = &self.delivered {
            let _ = write!(
                body,
                "<Delivered>{}</Delivered>",
                escape(delivered.as_str())
            );
        }
        body.push_str("<AccessControlList>");
        for (grantee, permission) in &self.grants {
            let grantee = match grantee {
                Grantee::Everyone => "<Canned>Everyone</Canned>".to_owned(),
                Grantee::Account(id) => format!("<ID>{}</ID>", escape(id.as_str())),
            };
            let permission = escape(permission.as_str());
            let _ = write!(
                body,
                "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission></Grant>"
            );
        }
        body + "</AccessControlList></AccessControlPolicy>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(grants: &[(&str, &str)]) -> Policy {
        let grantee = |id: &str| match id {
            "*" => Grantee::Everyone,
            id => Grantee::Account(id.to_owned()),
        };
        Policy {
            owner: "me".into(),
            delivered: Some("false".into()),
            grants: grants
                .iter()
                .map(|(id, permission)| (grantee(id), (*permission).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn only_what_a_canned_policy_says_exactly_is_canned() {
        let me = ("me", FULL_CONTROL);
        for (grants, shared) in [(vec![me], false), (vec![me, ("*", "READ")], true)] {
            let expected = if shared {
                Rights::Shared(PUBLIC_READ.to_owned())
            } else {
                Rights::Private
            };
            assert_eq!(policy(&grants).rights(), expected);
        }
        for grants in [
            vec![("*", "READ")],
            vec![me, ("*", "WRITE_ACP")],
            vec![me, ("you", "READ")],
            vec![me, ("*", "READ"), ("you", "READ")],
        ] {
            let policy = policy(&grants);
            let Rights::Shared(document) = policy.rights() else {
                panic!("{grants:?} is shared")
            };
            let read = Node::parse(document.as_bytes()).unwrap();
            assert_eq!(Policy::read(&read), Some(policy));
        }
    }

    #[test]
    fn policy_with_an_unknown_grantee_is_not_half_read() {
        let body = "<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList><Grant>\
                    <Grantee><Canned>Martians</Canned></Grantee><Permission>READ</Permission>\
                    </Grant></AccessControlList></AccessControlPolicy>";
        assert_eq!(Policy::read(&Node::parse(body.as_bytes()).unwrap()), None);
    }
}
