//! Destinations with a private CA and client certificates, on a real TLS server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aftertake::model::destination::{Destination, TlsFiles};
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::outbound::{Answer, Guarded, NoAnswer, Outbound, Request};
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use url::Url;

use crate::outbound::destination;

/// A file of the test CA: valid for a hundred years and trusted only here.
pub(crate) fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls")).join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).unwrap()
}

/// Answers every request with the number of certificates that the client presented.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    // The client reports a failed handshake.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
    let service = service_fn(move |_| async move {
        Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from(shown.to_string()))))
    });
    let stream = TokioIo::new(stream);
    let _ = http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

/// Starts a server with the test CA's certificate for `localhost`.
pub(crate) async fn start() -> u16 {
    let mut authorities = RootCertStore::empty();
    authorities.add(certificate("ca.pem")).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(authorities))
        .allow_unauthenticated()
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key.pem")).unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate("server.pem")], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone()));
        }
    });
    port
}

async fn send(host: &str, tls: TlsFiles) -> Result<Answer, Failure> {
    let url: Url = format!("https://{host}:{}/", start().await)
        .parse()
        .unwrap();
    let destination = Destination {
        tls,
        ..destination(&url)
    };
    let request = Request {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(30),
    };
    let sent = Guarded::new().send(&destination, request).await;
    sent.map_err(|none| none.failure)
}

#[tokio::test]
async fn private_authority_and_client_certificate_are_used() {
    let ca = Some(file("ca.pem"));
    let client = Some((file("client.pem"), file("client.key.pem")));
    for (tls, shown) in [
        (
            TlsFiles {
                ca: ca.clone(),
                client: None,
            },
            "0",
        ),
        (TlsFiles { ca, client }, "1"),
    ] {
        let answer = send("localhost", tls).await.unwrap();
        assert_eq!(answer.body, shown);
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_the_destination() {
    let ca = Some(file("ca.pem"));
    for (host, ca, part) in [
        // Signed by another CA than the destination's.
        (
            "localhost",
            Some(file("client.pem")),
            "invalid peer certificate: ",
        ),
        // Issued for another name.
        (
            "127.0.0.1",
            ca,
            "invalid peer certificate: certificate not valid for name",
        ),
    ] {
        let failure = send(host, TlsFiles { ca, client: None }).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(failure.reason.contains(part), "{}", failure.reason);
    }
}

#[tokio::test]
async fn key_that_does_not_belong_to_its_certificate_is_named() {
    let client = (file("client.pem"), file("server.key.pem"));
    let tls = TlsFiles {
        ca: Some(file("ca.pem")),
        client: Some(client.clone()),
    };
    let failure = send("localhost", tls).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Storage);
    let named = format!("{}, {}: ", client.0.display(), client.1.display());
    assert!(failure.reason.contains(&named), "{}", failure.reason);
}

#[tokio::test]
async fn server_that_never_shakes_hands_is_no_connection() {
    // Accepts connections and never sends anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let url: Url = format!("https://localhost:{port}/").parse().unwrap();
    let destination = Destination {
        tls: TlsFiles {
            ca: Some(file("ca.pem")),
            client: None,
        },
        ..destination(&url)
    };
    let request = Request {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_hours(1),
    };
    let NoAnswer { failure, unsent } = Guarded::new()
        .send(&destination, request)
        .await
        .unwrap_err();
    assert!(unsent);
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(
        failure.reason.ends_with(": no connection within 5s"),
        "{failure}"
    );
}
