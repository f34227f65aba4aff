//! OBS's response documents, read by the real client.
//!
//! The first line of an input is a status and the request, then come header fields, an empty
//! line and the document.

use aftertake::model::failure::Failure;
use aftertake::object::{ObjectStore, Rights, TagSupport};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::parrot::Parrot;
use super::{Target, Verdict};

const TARGET: Target = Target {
    name: "obs_xml",
    samples: None,
    dictionary: &[
        "200 list\n",
        "200 tags\n",
        "200 delete\n",
        "200 rights\n",
        "403 list\n",
        "503 tags\n",
        "<Error>",
        "</Error>",
        "<Error/>",
        "<Code>",
        "</Code>",
        "<Message>",
        "<Contents>",
        "</Contents>",
        "<Key>",
        "</Key>",
        "<Key/>",
        "<Size>",
        "</Size>",
        "<ETag>",
        "</ETag>",
        "<IsTruncated>true</IsTruncated>",
        "<Tag>",
        "</Tag>",
        "<Value>",
        "</Value>",
        "<Grant>",
        "</Grant>",
        "<Deleted>",
        "<ListBucketResult>",
        "</ListBucketResult>",
        "<DeleteResult>",
        "<o:Error xmlns:o=\"x\">",
        "</o:Error>",
        "<a:",
        "&amp;",
        "&lt;",
        "&#0;",
        "&#13;",
        "&#x41;",
        "&#xD800;",
        "&x;",
        "&",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]>",
        "<",
        ">",
        "/>",
        "\"",
        "NoSuchKey",
        "NoSuchTagSet",
        "AccessDenied",
        "SlowDown",
        "Retry-After: 7\n",
        "x-obs-error-code: SlowDown\n",
        "\n\n",
        "\u{feff}",
        "录制",
        " ",
        "\0",
        "\u{1}",
        "true",
        "18446744073709551616",
    ],
    usual: 2_000,
};

#[test]
fn any_answer_of_obs_is_read_whole_or_is_a_failure() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let obs = runtime.block_on(Parrot::start());
    let store = obs.store();
    TARGET.run(|input| {
        let asked = Asked::read(input);
        obs.say(asked.status, &asked.head, asked.body);
        runtime.block_on(async {
            match asked.ask(&store).await {
                Err(failure) => {
                    assert!(failure.reason.contains("\"b1\""), "{failure}");
                    Verdict::Refused
                }
                Ok(told) => {
                    asked.is_success(&told);
                    said_again(&obs, &store, told).await;
                    Verdict::Accepted
                }
            }
        })
    });
}

/// The result that the client read.
#[derive(Debug, PartialEq)]
enum Told {
    Objects(Vec<String>),
    Tags(TagSupport),
    Undeleted(usize),
    Rights(Rights),
}

struct Asked<'a> {
    status: u16,
    what: &'a str,
    head: String,
    body: &'a [u8],
}

impl<'a> Asked<'a> {
    fn read(input: &'a [u8]) -> Self {
        let end = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((&b""[..], input), |end| (&input[..end], &input[end + 2..]));
        let head = std::str::from_utf8(head).unwrap_or_default();
        let (first, rest) = head.split_once('\n').unwrap_or((head, ""));
        let (status, what) = first.split_once(' ').unwrap_or(("200", first));
        // Other statuses have no body or are not final.
        let status = status
            .parse()
            .ok()
            .filter(|status| (400..600).contains(status));
        let named = |line: &&str| {
            [
                "retry-after:",
                "x-obs-error-code:",
                "x-obs-request-id:",
                "date:",
            ]
            .iter()
            .any(|name| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        let fields = rest.lines().filter(named);
        let fields = fields.filter(|line| !line.chars().any(char::is_control));
        Self {
            status: status.unwrap_or(200),
            what,
            head: fields.flat_map(|line| [line, "\r\n"]).collect(),
            body,
        }
    }

    async fn ask(&self, store: &dyn ObjectStore) -> Result<Told, Failure> {
        match self.what {
            "tags" => store.tags("k").await.map(Told::Tags),
            "rights" => store.rights("k").await.map(Told::Rights),
            "delete" => {
                let keys = ["k", "l"].map(str::to_owned);
                store
                    .delete(&keys)
                    .await
                    .map(|failed| Told::Undeleted(failed.len()))
            }
            _ => {
                let page = store.list("", None).await?;
                let keys = page.objects.into_iter().map(|object| object.key);
                Ok(Told::Objects(keys.collect()))
            }
        }
    }

    /// Only this status with the right document counts as success.
    fn is_success(&self, told: &Told) {
        let root = root(self.body);
        // Read from refusals: the bucket has no such feature, or there is nothing.
        let nothing = match told {
            Told::Tags(TagSupport::Unsupported) | Told::Rights(Rights::Private) => true,
            Told::Tags(TagSupport::Tags(tags)) => tags.is_empty(),
            _ => false,
        };
        if !nothing {
            assert_eq!(self.status, 200);
            assert_ne!(root.as_deref(), Some("Error"));
        }
        if matches!(told, Told::Undeleted(_)) {
            assert_eq!(root.as_deref(), Some("DeleteResult"));
        }
        if let Told::Objects(keys) = told {
            let entries = self
                .body
                .windows(9)
                .filter(|window| window == b"Contents>" || window == b"Contents ");
            assert!(keys.len() <= entries.count(), "{keys:?}");
            assert!(keys.iter().all(|key| !key.is_empty()));
        }
    }
}

/// The local name of a document's root element.
fn root(document: &[u8]) -> Option<String> {
    let mut reader = Reader::from_str(std::str::from_utf8(document).ok()?);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) | Event::Empty(tag) => {
                return Some(tag.local_name().into_inner().to_owned());
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// What was read, written as our own document and read again, is the same.
async fn said_again(obs: &Parrot, store: &dyn ObjectStore, told: Told) {
    obs.say(200, "", b"");
    match told {
        Told::Tags(TagSupport::Tags(tags)) if !tags.is_empty() => {
            store.set_tags("k", &tags).await.unwrap();
            obs.say(200, "", &obs.heard());
            let again: Result<_, Failure> = store.tags("k").await;
            assert_eq!(again, Ok(TagSupport::Tags(tags)));
        }
        Told::Rights(rights @ Rights::Shared(_))
            if rights != Rights::Shared("public-read".into()) =>
        {
            store.set_rights("k", &rights).await.unwrap();
            obs.say(200, "", &obs.heard());
            assert_eq!(store.rights("k").await, Ok(rights));
        }
        _ => {}
    }
}
