//! Line: the way to a partner, which can be laid anew while requests travel on it.
//!
//! Comes in   requests; a transport in the place of the one before.
//! Goes out   answers, each by the transport that was there when its request began.
//! Never      breaks off a request.

use bytes::Bytes;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use wire::{BoxFuture, Taker, Transport, TransportError};

/// A transport to one partner, to be changed for another: when the partner's authority changes, or
/// this house's own certificate.
pub struct Line(RwLock<Arc<dyn Transport>>);

impl Line {
    /// A line over this transport.
    pub fn over(transport: Arc<dyn Transport>) -> Line {
        Line(RwLock::new(transport))
    }

    /// Lays it anew: what is on its way ends where it began.
    pub fn lay(&self, transport: Arc<dyn Transport>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = transport;
    }
}

impl Transport for Line {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        let now = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { now.send(request).await })
    }

    fn send_taking<'a>(
        &'a self,
        request: http::Request<Bytes>,
        take: Taker<'a>,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportError>> {
        let now = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { now.send_taking(request, take).await })
    }

    fn permits(&self, address: IpAddr) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).permits(address)
    }
}
