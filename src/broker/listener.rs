//! Accepts sockets until the server stops.

use super::{connection, error::BrokerEnded, front::Front};
use socket2::{SockRef, TcpKeepalive};
use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// How many sockets may be open beyond twice `max_connections`: every client may come again while
/// its old socket is being closed, and a client in excess is to get an answer.
const EXCESS_SOCKETS: usize = 128;

/// When TCP begins to ask whether a silent peer is still there: the only way to notice the end of a
/// client whose keep-alive is 0.
const PROBE_AFTER: Duration = Duration::from_mins(1);

/// How long TCP waits for the answer, and how often it asks again.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);

/// How long to wait when no socket can be accepted, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the connections have to close when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Accepts until `shutdown`, then ends all connections.
pub(crate) async fn serve(
    front: &Arc<Front>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), BrokerEnded> {
    let mut shutdown = pin!(shutdown);
    let mut ended = pin!(front.ended());
    loop {
        tokio::select! {
            biased;
            () = &mut ended => return Err(BrokerEnded),
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => spawn(front, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    front.stop();
    let mut sockets = front.sockets.subscribe();
    let closed = timeout(STOP_GRACE, sockets.wait_for(|open| *open == 0)).await.is_ok();
    if !closed {
        tracing::warn!(open = *front.sockets.borrow(), "connections were left behind");
    }
    Ok(())
}

fn spawn(front: &Arc<Front>, stream: TcpStream, peer: SocketAddr) {
    let max_sockets =
        front.settings.max_connections.saturating_mul(2).saturating_add(EXCESS_SOCKETS);
    if *front.sockets.borrow() >= max_sockets {
        front.counters.refused_sockets.increment();
        return;
    }
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL);
    // Replies are small and awaited; with Nagle's algorithm each could wait for the peer's ACK.
    let set =
        stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&probes));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket was closed before it was served");
        return;
    }
    let socket = OpenSocket::new(Arc::clone(front));
    tokio::spawn(connection::serve(socket, stream, peer.ip().to_canonical()));
}

/// Counts a socket as long as it is open.
#[derive(Debug)]
pub(crate) struct OpenSocket(Arc<Front>);

impl OpenSocket {
    pub(crate) fn new(front: Arc<Front>) -> Self {
        front.sockets.send_modify(|open| *open += 1);
        Self(front)
    }

    pub(crate) const fn front(&self) -> &Arc<Front> {
        &self.0
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.sockets.send_modify(|open| *open -= 1);
    }
}
