//! Connections, their limits and their end.
//!
//! warp answers requests; its own server is not used, since it lets a connection take for ever to
//! send a head, accepts any number of them, and waits for the slowest when the hub stops.

use super::{Api, Context, caller::Caller, routes, storage};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use socket2::{SockRef, TcpKeepalive};
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use warp::{
    http::{Request, Response},
    hyper::{
        body::{Body, Incoming},
        server::conn::http1,
        service::{Service, service_fn},
    },
};

/// The most connections at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 1024;

/// How long a connection may take to send the head of a request, and how long it may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes that a connection buffers: also the limit for the head of a request.
const BUFFER_MAX: usize = 64 * 1024;

/// How long a peer may leave what was sent to it unacknowledged or untaken before it counts as
/// gone: a phone that left the house still holds an event stream.
const PEER_TIMEOUT: Duration = Duration::from_mins(2);

/// How long requests under way may take when the hub stops.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests until `shutdown`; then event streams end, requests under way have five seconds
/// to come to their end, and every connection is closed.
pub async fn serve(
    listener: TcpListener,
    context: Context,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopping) = watch::channel(false);
    let api = Api::new(context, stopping);
    let told = tokio::spawn(storage::watch(Arc::clone(&api)));
    let service = TowerToHyperService::new(warp::service(routes(&api)));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, slot) = tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a request handler failed");
                }
                continue;
            }
            accepted = accept(&listener, &slots) => accepted,
        };
        api.figures.connected();
        watch_peer(&stream);
        let own = stream.local_addr().ok().map(|own| own.ip());
        let connection = connection(stream, Caller::at(peer.ip(), own), service.clone());
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // Mostly a peer that went away in the middle: nothing to act on.
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "an HTTP connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    stop.send_replace(true);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("HTTP requests still under way are cut");
    }
    connections.shutdown().await;
    if let Err(error) = told.await {
        tracing::error!(%error, "the live stream was not told of the store");
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            // Nobody closes the semaphore.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            // The peer was faster.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection can't be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Has the kernel send at once, and notice a peer that is gone.
fn watch_peer(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(PEER_TIMEOUT / 2);
    let set = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let set = set.and_then(|()| socket.set_tcp_user_timeout(Some(PEER_TIMEOUT)));
    if let Err(error) = set {
        // The peer may be gone already; then the next read says so.
        tracing::debug!(%error, "a socket option was refused");
    }
}

fn connection<S, B>(
    stream: TcpStream,
    caller: Caller,
    service: S,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send,
>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Send
        + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller);
        service.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(stream), service)
}
