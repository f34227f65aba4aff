//! Addresses where a destination must not lead, each as written in a URL and as the result of a DNS
//! lookup.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::model::destination::Destination;
use aftertake::model::failure::{Disposition, Failure, FailureKind};
use aftertake::outbound::{Guarded, Outbound, Request, Resolver};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

use crate::outbound::destination;
use crate::support::sink::Sink;

const SPECIAL: &str = "
    0.0.0.0 unspecified
    0.255.255.255 unspecified
    10.0.0.1 private
    10.255.255.255 private
    100.64.0.0 shared by a provider's customers
    100.100.100.200 shared by a provider's customers
    100.127.255.255 shared by a provider's customers
    127.0.0.1 loopback
    127.255.255.254 loopback
    168.63.129.16 cloud metadata
    169.254.0.1 link-local
    169.254.169.254 cloud metadata
    169.254.255.255 link-local
    172.16.0.1 private
    172.31.255.255 private
    192.0.0.192 protocol assignment
    192.0.2.1 documentation
    192.88.99.1 6to4 relay
    192.168.0.1 private
    192.168.255.255 private
    198.18.0.1 benchmarking
    198.19.255.255 benchmarking
    198.51.100.7 documentation
    203.0.113.7 documentation
    224.0.0.1 multicast
    239.255.255.250 multicast
    240.0.0.1 reserved
    255.255.255.255 reserved
    :: unspecified
    ::1 loopback
    ::2 reserved
    ::127.0.0.1 reserved
    ::ffff:127.0.0.1 loopback
    ::ffff:7f00:1 loopback
    ::ffff:10.1.2.3 private
    ::ffff:169.254.169.254 cloud metadata
    ::ffff:0:192.168.1.1 private
    64:ff9b::127.0.0.1 loopback
    64:ff9b::a9fe:a9fe cloud metadata
    64:ff9b:1::8.8.8.8 local address translation
    100::1 reserved
    2001::1 Teredo
    2001:0:53aa:64c:0:0:f5ff:fffe Teredo
    2001:2::1 benchmarking
    2001:2:1::1 protocol assignment
    2001:10::1 protocol assignment
    2001:1ff:ffff::1 protocol assignment
    2001:db8::1 documentation
    2002:7f00:1::1 loopback
    2002:a9fe:a9fe:: cloud metadata
    2002:c0a8:101::1 private
    3fff::1 documentation
    3fff:fff:ffff::1 documentation
    4000::1 reserved
    5f00::1 reserved
    fc00::1 private
    fd00:ec2::254 private
    fdff::1 private
    fe80::1 link-local
    febf::1 link-local
    fec0::1 private
    ff02::1 multicast
    ffff::1 multicast
";

/// Spellings of 127.0.0.1 and `::1` that a URL parser may accept.
const LOOPBACK: &str = "
    127.1
    127.0.1
    127.0.0.1.
    2130706433
    0x7f000001
    0x7f.1
    0x7F.0x0.0x0.0x1
    0177.0.0.1
    0177.1
    017700000001
    %31%32%37.0.0.1
    ①②⑦.0.0.1
    127。0。0。1
    user:password@127.0.0.1
    [0:0:0:0:0:0:0:1]
    [0000::0001]
    [::FFFF:127.0.0.1]
    [0:0:0:0:0:ffff:7f00:1]
    [64:ff9b::7f00:1]
    [2002:7f00:1::]
";

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.trim().lines().map(str::trim)
}

/// Returns these answers, one per lookup.
#[derive(Default)]
struct Zone(Mutex<VecDeque<Vec<IpAddr>>>);

impl Zone {
    fn then(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        self.0.lock().unwrap().push_back(addresses.collect());
    }
}

#[async_trait]
impl Resolver for Zone {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.lock().unwrap().pop_front().unwrap())
    }
}

/// Why a request to `url` fails if private addresses are not allowed.
async fn failure(guarded: &Guarded, url: &str) -> Failure {
    let url: Url = url.parse().unwrap();
    let destination = Destination {
        allow_private: false,
        ..destination(&url)
    };
    let request = Request {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        // Nothing answers at a public address in these tests.
        timeout: Duration::from_millis(200),
    };
    let refused = guarded.send(&destination, request).await;
    refused.unwrap_err().failure
}

#[track_caller]
fn assert_leads_to(failure: &Failure, address: &str, what: &str) {
    assert_eq!(failure.kind, FailureKind::Forbidden, "{failure}");
    let leads = format!(" leads to {address} ({what}), which is refused unless ");
    assert!(
        failure.reason.contains(&leads),
        "{failure} does not say{leads}"
    );
}

#[tokio::test]
async fn special_address_is_refused_as_a_literal_and_as_a_dns_result() {
    let zone = Arc::new(Zone::default());
    let guarded = Guarded::with_resolver(zone.clone());
    for row in rows(SPECIAL) {
        let (text, what) = row.split_once(' ').unwrap();
        let address: IpAddr = text.parse().unwrap();
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let literal = failure(&guarded, &format!("http://{host}:9/")).await;
        assert_leads_to(&literal, &address.to_string(), what);
        zone.then(&[text]);
        let resolved = failure(&guarded, "https://lms.example.com/").await;
        assert_leads_to(&resolved, &address.to_string(), what);
    }
}

#[tokio::test]
async fn loopback_is_refused_however_it_is_spelled() {
    let guarded = Guarded::new();
    let sink = Sink::start([]).await;
    for host in rows(LOOPBACK) {
        let found = failure(&guarded, &format!("http://{host}:{}/", sink.port())).await;
        assert_eq!(found.kind, FailureKind::Forbidden, "{host}: {found}");
        assert!(found.reason.contains("(loopback)"), "{host}: {found}");
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn name_that_turns_private_between_two_tries_is_refused() {
    let sink = Sink::start([]).await;
    let zone = Arc::new(Zone::default());
    let guarded = Guarded::with_resolver(zone.clone());
    let url = format!("http://turns.example.com:{}/", sink.port());
    // A public address that was never assigned.
    zone.then(&["3ffe::1"]);
    let first = failure(&guarded, &url).await;
    assert_eq!(first.kind.disposition(), Disposition::Retry, "{first}");
    zone.then(&["127.0.0.1"]);
    assert_leads_to(&failure(&guarded, &url).await, "127.0.0.1", "loopback");
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn private_address_next_to_a_public_one_is_not_tried() {
    let sink = Sink::start([]).await;
    let zone = Arc::new(Zone::default());
    let guarded = Guarded::with_resolver(zone.clone());
    zone.then(&["127.0.0.1", "3ffe::1", "::ffff:127.0.0.1"]);
    let url = format!("http://both.example.com:{}/", sink.port());
    let found = failure(&guarded, &url).await;
    assert_eq!(found.kind.disposition(), Disposition::Retry, "{found}");
    assert_eq!(sink.connections(), 0);
}
