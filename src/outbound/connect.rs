//! Connects to a destination without sending a request, to check that it can be reached.
//!
//! Uses the client of real requests, with the same address check, proxy and certificates, and
//! closes the connection when it is established.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::layer_fn;
use tower_service::Service;

use super::client::Settings;
use super::failure::{caused_by, forbidden, no_answer};
use super::resolve::check_literal;
use super::{Guarded, To};
use crate::model::destination::Destination;
use crate::model::failure::{Failure, FailureKind};

impl Guarded {
    /// Resolves `destination`, connects to it and does the TLS handshake for https.
    pub async fn connect(&self, destination: &Destination) -> Result<(), Failure> {
        let to = To(destination);
        if !destination.allow_private {
            check_literal(&destination.url).map_err(|refused| forbidden(&refused, &to))?;
        }
        let settings = Settings::of(destination);
        let builder = settings.builder(&self.resolver);
        let client = builder
            .and_then(|builder| {
                let builder = builder.connector_layer(layer_fn(|inner| OnlyConnect { inner }));
                settings.built(builder)
            })
            .map_err(|why| Failure::new(FailureKind::Storage, format!("{to}: {why}")))?;
        let asked = client.head(destination.url.clone());
        match asked.timeout(destination.timeout).send().await {
            Err(error) if !caused_by::<Connected>(&error) => Err(no_answer(&error, &to).failure),
            _ => Ok(()),
        }
    }
}

/// Aborts a connection that was established successfully.
#[derive(Debug, thiserror::Error)]
#[error("connected")]
struct Connected;

#[derive(Debug, Clone)]
struct OnlyConnect<S> {
    inner: S,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, R> Service<R> for OnlyConnect<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let connecting = self.inner.call(target);
        Box::pin(async move {
            drop(connecting.await?);
            Err(Connected.into())
        })
    }
}
