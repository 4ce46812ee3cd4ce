//! How connections end: what the client is told, and what is published now that it is gone.

use super::{
    Origin,
    connection::Connection,
    lock::lock,
    message::Sender,
    packet::{Reason, Version, encode},
    session::Kick,
    will::DueWill,
};
use std::{
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

/// How long a connection that we end is kept, so that the peer can read why: closing a socket
/// with unread input would make its stack throw our last packet away.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// DISCONNECT: the client has left, without its will.
    Left,
    /// DISCONNECT that asks for the will (section 3.14.2.1).
    LeftWithWill,
    /// The socket was closed or has failed.
    Closed,
    /// The client broke the protocol.
    Violation(Reason),
    /// Nothing came in for too long.
    KeepAlive,
    /// The client took nothing for too long.
    WriteTimeout,
    /// There was no room to store what it published, and 3.1.1 has no other word for that.
    NoRoom,
    /// We were told to end it.
    Kicked(Kick),
    /// The router has ended.
    RouterEnded,
    /// Serving it has panicked.
    Panicked,
}

impl End {
    /// What a client is told, where it can be told something.
    const fn reason(self) -> Option<Reason> {
        match self {
            Self::Left | Self::LeftWithWill | Self::Closed => None,
            Self::NoRoom => Some(Reason::QUOTA_EXCEEDED),
            Self::Violation(reason) => Some(reason),
            Self::KeepAlive => Some(Reason::KEEP_ALIVE_TIMEOUT),
            Self::WriteTimeout | Self::RouterEnded | Self::Panicked => Some(Reason::UNSPECIFIED),
            Self::Kicked(Kick::TakenOver) => Some(Reason::SESSION_TAKEN_OVER),
            Self::Kicked(Kick::ShuttingDown) => Some(Reason::SERVER_SHUTTING_DOWN),
        }
    }
}

impl From<Reason> for End {
    fn from(reason: Reason) -> Self {
        Self::Violation(reason)
    }
}

impl Connection {
    /// Tells the client, publishes what is published for a client that is gone, and leaves the
    /// session. Everything that the connection has published comes before that.
    pub(super) async fn close(mut self: Box<Self>, end: End) {
        self.count(end);
        if self.wire.version == Version::V5
            && let Some(reason) = end.reason()
        {
            encode::disconnect(&mut self.output, reason);
        }
        // Best effort: the client may be gone.
        let _ = self.try_write(&self.output);
        if let Some(stall) = self.stall.take()
            && let Some((sealed, cost)) = stall.message
        {
            stall.until.await;
            let _ = self.front.window.append(sealed, cost);
        }
        if let Sender::Client(origin) = self.sender.clone() {
            self.leave(end, origin).await;
        }
        if self.wire.version == Version::V5 && end.reason().is_some() {
            linger(self.stream).await;
        }
    }

    async fn leave(&mut self, end: End, origin: Origin) {
        let front = Arc::clone(&self.front);
        let bound = lock(&front.addressing).remove(origin.connection);
        let mut will = self.will.take().filter(|_| end != End::Left);
        let mut told = None;
        // A will is published when the session ends, whatever its delay.
        if let Some(due) = will.take_if(|will| will.delay == 0 || self.session_expiry == 0) {
            told = due.leaves_for().map(str::to_owned);
            front.publish_will(DueWill { will: due, origin: origin.clone() }).await;
        }
        for pair in self.presence.missing_leaves(bound.as_ref(), told.as_deref()) {
            front.publish_leave(&self.sender, &pair).await;
        }
        let will = will.map(|will| DueWill { will, origin });
        let ended =
            lock(&front.sessions).leave(&self.session, self.session_expiry, will, Instant::now());
        front.rescheduled.notify_one();
        if let Some(ended) = ended {
            front.finish(ended).await;
        }
    }

    fn count(&self, end: End) {
        let counters = &self.front.counters;
        match end {
            End::Violation(reason) => {
                tracing::debug!(%reason, client = &*self.session.client_id, "protocol violation");
                counters.violations.increment();
            }
            End::KeepAlive => counters.keep_alive_timeouts.increment(),
            End::WriteTimeout => counters.write_timeouts.increment(),
            End::NoRoom => counters.closed_without_room.increment(),
            End::Kicked(Kick::TakenOver) => counters.take_overs.increment(),
            End::Kicked(Kick::ShuttingDown)
            | End::Left
            | End::LeftWithWill
            | End::Closed
            | End::RouterEnded
            | End::Panicked => {}
        }
    }
}

/// Closes our half of a connection and gives the peer a moment to close its own.
pub(crate) async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let closed = async {
        let mut rest = [0; 512];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut rest) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    let _ = timeout(LINGER, closed).await;
}
