//! Calls of the hub that runs on the store.

use crate::addresses::{self, Addresses};
use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{future::poll_fn, io, net::SocketAddr, path::Path, pin::Pin, time::Duration};
use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

/// How long the hub may take to answer, and may then pause.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// The most of a refusal that is read, in bytes.
const REFUSAL_MAX: usize = 64 * 1024;

/// The hub did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error(
        "the store is in use by another process, and no hub says in {file} where it is: {error}"
    )]
    Unknown { file: String, error: io::Error },
    #[error("the hub that has the store open can't be reached at {address}: {error}")]
    Unreachable { address: SocketAddr, error: io::Error },
    #[error("the hub's answer was cut off: {0}")]
    Cut(#[from] hyper::Error),
    #[error("the hub does not answer")]
    Silent(#[from] Elapsed),
    #[error("the hub refuses: {0}")]
    Refused(String),
}

/// The address of the API of the hub that runs on this store, for callers on this machine.
pub(super) fn hub_of(store: &Path) -> Result<SocketAddr, RemoteError> {
    let file = store.join(addresses::FILE);
    Addresses::read(&file)
        .map(|addresses| addresses.http_from_here())
        .map_err(|error| RemoteError::Unknown { file: file.display().to_string(), error })
}

/// A body on its way from the hub.
#[derive(Debug)]
pub(super) struct Download(Response<Incoming>);

impl Download {
    /// Asks the hub at `address` for `path`, which may have a query.
    pub(super) async fn start(address: SocketAddr, path: &str) -> Result<Self, RemoteError> {
        let unreachable = |error| RemoteError::Unreachable { address, error };
        let stream = timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await?;
        let stream = TokioIo::new(stream.map_err(unreachable)?);
        let (mut sender, connection) = http1::handshake(stream).await?;
        // Ends with the body; what breaks it breaks the body as well.
        tokio::spawn(connection);
        let request = Request::get(path)
            .header(header::HOST, address.to_string())
            .header(header::CONNECTION, "close")
            .body(String::new())
            .map_err(|error| unreachable(io::Error::other(error)))?;
        let response = timeout(ANSWER_TIMEOUT, sender.send_request(request)).await??;
        let status = response.status();
        let mut download = Self(response);
        if status == StatusCode::OK { Ok(download) } else { Err(download.refusal(status).await) }
    }

    /// The next piece of the body; `None` behind its end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, RemoteError>> {
        let body = self.0.body_mut();
        loop {
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            match timeout(ANSWER_TIMEOUT, frame).await {
                Err(silent) => return Some(Err(silent.into())),
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(error.into())),
                Ok(Some(Ok(frame))) => {
                    // Trailers carry nothing for us.
                    if let Ok(piece) = frame.into_data() {
                        return Some(Ok(piece));
                    }
                }
            }
        }
    }

    /// What the hub says (RFC 9457).
    async fn refusal(&mut self, status: StatusCode) -> RemoteError {
        let mut body = Vec::new();
        while let Some(Ok(piece)) = self.next().await {
            if body.len() + piece.len() > REFUSAL_MAX {
                break;
            }
            body.extend_from_slice(&piece);
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str();
        RemoteError::Refused(detail.map_or_else(|| status.to_string(), str::to_owned))
    }
}
