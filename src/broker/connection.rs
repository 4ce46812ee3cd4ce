//! One client's task: bytes in, bytes out, and time-outs.
//!
//! An idle connection is to cost little, so it has no buffers: bytes are read and written through
//! buffers of the thread, and only what could not be processed or sent is kept with the connection.

use super::{
    ConnectionId,
    ending::End,
    front::Front,
    handshake::{self, Parts},
    listener::OpenSocket,
    message::{Sealed, Sender},
    outbound::Wire,
    packet::{Frame, Packet, Version, encode},
    presence::Presence,
    router::Pace,
    session::{Kick, Session},
    will::Will,
    window::{AppendError, Full},
};
use futures_util::FutureExt;
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    io::ErrorKind,
    mem,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep_until},
};

/// How many topic aliases a client may set (section 3.2.2.3.8).
pub(crate) const TOPIC_ALIAS_MAXIMUM: u16 = 16;

/// What is read at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// A client that leaves so much untaken is not read until it takes it, in bytes.
const OUTPUT_MAX: usize = 64 * 1024;

/// How often a connection that is to be ended is still read, [`READ_BYTES`] at a time.
const LAST_READS: usize = 8;

/// How long a 3.1.1 client waits for an acknowledgement that will not come, before its connection
/// is closed so that it tries again. At once would make a full disk a storm of boards that come
/// and go, each with lines in its log.
const WITHHELD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than any time-out that is set.
const NEVER: Duration = Duration::from_hours(24);

thread_local! {
    /// Read and write buffer of this thread.
    static BUFFERS: RefCell<(Box<[u8]>, Vec<u8>)> =
        RefCell::new((vec![0; READ_BYTES].into(), Vec::with_capacity(READ_BYTES)));
}

/// Serves a socket from CONNECT to its end.
pub(crate) async fn serve(socket: OpenSocket, stream: TcpStream, address: IpAddr) {
    // Beginning and end are boxed, so that the task has room for the long middle only; so is the
    // connection, which would otherwise be there twice.
    let established = Box::pin(handshake::establish(socket.front(), stream, address)).await;
    if let Some(connection) = established {
        attend(connection).await;
    }
}

/// Serves a client that has been let in.
async fn attend(mut connection: Box<Connection>) {
    // A panic is a fault of ours. It ends this connection, and like any other end: the client id
    // must not stay taken, nor the device online.
    let end = AssertUnwindSafe(connection.run()).catch_unwind().await.unwrap_or(End::Panicked);
    Box::pin(connection.close(end)).await;
}

/// A client that has been let in.
pub(crate) struct Connection {
    pub(super) front: Arc<Front>,
    pub(super) session: Arc<Session>,
    pub(super) id: ConnectionId,
    /// Who publishes, as every message tells.
    pub(super) sender: Sender,
    pub(super) wire: Wire,
    /// In seconds.
    pub(super) session_expiry: u32,
    pub(super) will: Option<Box<Will>>,
    pub(super) presence: Presence,
    pub(super) aliases: HashMap<u16, Arc<str>>,
    /// How many acknowledgements were asked for.
    pub(super) acks: u64,
    /// The offset in the log after what this connection published.
    pub(super) routed: u64,
    pub(super) stall: Option<Box<Stall>>,
    pub(super) stream: TcpStream,
    /// Zero for none.
    keep_alive: Duration,
    last_packet: Instant,
    /// What came in and could not be processed yet.
    input: Vec<u8>,
    /// What the socket did not take yet.
    pub(super) output: Vec<u8>,
    /// When the socket last took something.
    output_since: Instant,
    /// When an acknowledgement was withheld first.
    withheld_since: Option<Instant>,
}

/// Nothing more is processed until something has happened.
pub(super) struct Stall {
    pub(super) until: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What is to be published then, with its cost.
    pub(super) message: Option<(Sealed, u32)>,
}

/// What a connection's task was woken for.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent events of one moment, not a state")]
struct Ready {
    woken: bool,
    resumed: bool,
    readable: bool,
    writable: bool,
    timer: bool,
}

impl Connection {
    pub(crate) fn new(front: Arc<Front>, stream: TcpStream, parts: Parts) -> Self {
        let now = Instant::now();
        Self {
            front,
            session: parts.admitted.session,
            id: parts.origin.connection,
            sender: Sender::Client(parts.origin),
            wire: parts.wire,
            session_expiry: parts.session_expiry,
            will: parts.will,
            presence: Presence::default(),
            aliases: HashMap::new(),
            acks: 0,
            routed: 0,
            stall: None,
            stream,
            keep_alive: parts.keep_alive,
            last_packet: now,
            input: parts.input,
            output: parts.output,
            output_since: now,
            withheld_since: None,
        }
    }

    /// Serves the client until the connection has to end.
    async fn run(&mut self) -> End {
        let mut timer = pin!(sleep_until(self.deadline(Instant::now()).into()));
        loop {
            let ready = poll_fn(|context| self.poll_ready(context, timer.as_mut())).await;
            let now = Instant::now();
            if let Err(end) = self.turn(ready, now) {
                return end;
            }
            let deadline = self.deadline(now).into();
            // Later deadlines are looked at when the timer fires: setting it costs more.
            if ready.timer || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Ready> {
        let ready = Ready {
            woken: self.session.poll_woken(context),
            resumed: self
                .stall
                .as_mut()
                .is_some_and(|stall| stall.until.as_mut().poll(context).is_ready()),
            readable: self.wants_input() && self.stream.poll_read_ready(context).is_ready(),
            writable: !self.output.is_empty() && self.stream.poll_write_ready(context).is_ready(),
            timer: timer.poll(context).is_ready(),
        };
        let Ready { woken, resumed, readable, writable, timer } = ready;
        if woken || resumed || readable || writable || timer {
            Poll::Ready(ready)
        } else {
            Poll::Pending
        }
    }

    /// Does everything that can be done now.
    fn turn(&mut self, ready: Ready, now: Instant) -> Result<(), End> {
        BUFFERS.with_borrow_mut(|(input, output)| {
            output.clear();
            let done = self.receive(ready, now, input, output);
            // What was answered before the end is still sent.
            let sent = self.transmit(output, now);
            done.and(sent)
        })
    }

    fn receive(
        &mut self,
        ready: Ready,
        now: Instant,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        let kicked = self.session.state().kicked();
        if let Some(kick) = kicked {
            return Err(self.last_words(kick, now, buffer, out));
        }
        if ready.resumed {
            self.resume(now)?;
        }
        if ready.timer {
            self.check_time(now)?;
        }
        if !self.input.is_empty() && self.wants_input() {
            let input = mem::take(&mut self.input);
            self.process(input, now, out)?;
        }
        if ready.readable && self.wants_input() {
            self.read(now, buffer, out)?;
        }
        Ok(())
    }

    /// Takes in what the socket already holds before the connection is ended: a client that comes
    /// again at once has often said good-bye on its old socket just before.
    fn last_words(
        &mut self,
        kick: Kick,
        now: Instant,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
    ) -> End {
        let mut reads = 0;
        while reads < LAST_READS && self.wants_input() {
            match self.read(now, buffer, out) {
                Ok(()) => reads += 1,
                Err(end @ (End::Left | End::LeftWithWill)) => return end,
                Err(_) => break,
            }
        }
        End::Kicked(kick)
    }

    fn read(&mut self, now: Instant, buffer: &mut [u8], out: &mut Vec<u8>) -> Result<(), End> {
        let len = match self.stream.try_read(buffer) {
            Ok(0) => return Err(End::Closed),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(End::Closed),
        };
        self.front.counters.bytes_received.add(len as u64);
        let Some(read) = buffer.get(..len) else { return Ok(()) };
        if self.input.is_empty() {
            let used = self.process_packets(read, now, out)?;
            self.input.extend_from_slice(read.get(used..).unwrap_or_default());
            Ok(())
        } else {
            let mut input = mem::take(&mut self.input);
            input.extend_from_slice(read);
            self.process(input, now, out)
        }
    }

    /// Processes what was kept, and keeps what is left of it.
    fn process(&mut self, mut input: Vec<u8>, now: Instant, out: &mut Vec<u8>) -> Result<(), End> {
        let used = self.process_packets(&input, now, out)?;
        if used < input.len() {
            input.drain(..used);
            self.input = input;
        }
        Ok(())
    }

    /// Processes the whole packets at the front of `bytes`, until one has to wait; gives how many
    /// bytes they had.
    fn process_packets(
        &mut self,
        bytes: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<usize, End> {
        let mut used = 0;
        while self.may_process() && out.len() < OUTPUT_MAX {
            let rest = bytes.get(used..).unwrap_or_default();
            let Some(frame) = Frame::first(rest, self.front.settings.max_packet_bytes)? else {
                break;
            };
            self.last_packet = now;
            if frame.kind == SUBSCRIBE && !self.front.window.has_reached(self.routed) {
                // What the client published before must not come back to a later subscription.
                let (front, routed) = (Arc::clone(&self.front), self.routed);
                let until = Box::pin(async move { front.window.reach(routed).await });
                self.stall = Some(Box::new(Stall { until, message: None }));
                break;
            }
            let packet = Packet::read(self.wire.version, &frame)?;
            self.handle(packet, now, out)?;
            used += frame.len;
        }
        Ok(used)
    }

    /// Publishes, now or once the log has room; nothing else is processed until then.
    pub(super) fn route(&mut self, sealed: Sealed, pace: Pace) -> Result<(), End> {
        match self.front.window.try_append(sealed, pace) {
            Ok(offset) => self.routed = offset,
            Err(AppendError::Ended) => return Err(End::RouterEnded),
            Err(AppendError::Full(Full { sealed, cost })) => {
                let until = Box::pin(self.front.window.room(cost));
                self.stall = Some(Box::new(Stall { until, message: Some((sealed, cost)) }));
            }
        }
        Ok(())
    }

    fn resume(&mut self, now: Instant) -> Result<(), End> {
        if let Some(stall) = self.stall.take()
            && let Some((sealed, cost)) = stall.message
        {
            self.routed = self.front.window.append(sealed, cost).map_err(|_| End::RouterEnded)?;
        }
        // It was us who did not listen.
        self.last_packet = now;
        Ok(())
    }

    /// Whether the next packet may be looked at.
    fn may_process(&self) -> bool {
        let congested =
            || self.wire.version == Version::V3 && self.session.state().receipts.is_congested();
        self.stall.is_none() && !congested()
    }

    fn wants_input(&self) -> bool {
        self.output.len() < OUTPUT_MAX && self.may_process()
    }

    /// Sends `out`, and then what the session has for the client, as far as the socket takes it.
    fn transmit(&mut self, out: &mut Vec<u8>, now: Instant) -> Result<(), End> {
        loop {
            let mut more = false;
            if self.output.len() < OUTPUT_MAX {
                let mut state = self.session.state();
                while let Some((reply, id, reason)) = state.receipts.next_settled(self.wire.version)
                {
                    encode::reply(out, self.wire.version, reply, id, reason);
                }
                if state.receipts.has_withheld() {
                    self.withheld_since.get_or_insert(now);
                }
                more = state.outbound.poll(out, self.wire, &self.front.counters, now);
            }
            self.send(out, now)?;
            out.clear();
            if !more || !self.output.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends what is kept and then `out`, and keeps what the socket does not take.
    fn send(&mut self, out: &[u8], now: Instant) -> Result<(), End> {
        if self.output.is_empty() {
            let sent = self.try_write(out)?;
            if let Some(rest) = out.get(sent..).filter(|rest| !rest.is_empty()) {
                self.output.extend_from_slice(rest);
                self.output_since = now;
            }
            return Ok(());
        }
        self.output.extend_from_slice(out);
        let kept = mem::take(&mut self.output);
        let sent = self.try_write(&kept)?;
        if sent > 0 {
            self.output_since = now;
        }
        if sent < kept.len() {
            self.output = kept;
            self.output.drain(..sent);
        }
        Ok(())
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> Result<usize, End> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(0) => return Err(End::Closed),
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(End::Closed),
            }
        }
        self.front.counters.bytes_sent.add(sent as u64);
        Ok(sent)
    }

    /// When a time-out has to be looked at next.
    fn deadline(&self, now: Instant) -> Instant {
        let mut deadline = now + NEVER;
        if !self.keep_alive.is_zero() {
            deadline = deadline.min(self.last_packet + self.keep_alive);
        }
        if !self.output.is_empty() {
            deadline = deadline.min(self.output_since + self.write_timeout());
        }
        if let Some(since) = self.withheld_since {
            deadline = deadline.min(since + WITHHELD_TIMEOUT);
        }
        deadline
    }

    fn check_time(&mut self, now: Instant) -> Result<(), End> {
        if !self.output.is_empty() && now >= self.output_since + self.write_timeout() {
            return Err(End::WriteTimeout);
        }
        if self.withheld_since.is_some_and(|since| now >= since + WITHHELD_TIMEOUT) {
            return Err(End::NoRoom);
        }
        if !self.keep_alive.is_zero() && now >= self.last_packet + self.keep_alive {
            if self.wants_input() {
                return Err(End::KeepAlive);
            }
            // It is us who don't listen.
            self.last_packet = now;
        }
        Ok(())
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.front.settings.write_timeout_ms)
    }
}

/// The packet type of SUBSCRIBE (section 2.1.2).
const SUBSCRIBE: u8 = 8;

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("sender", &self.sender).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Broker, tests::settings};
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    #[tokio::test]
    async fn the_task_of_a_connection_is_small() {
        let (broker, _link) = Broker::start(&settings()).unwrap();
        let listener = TcpListener::bind(settings().listen).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = OpenSocket::new(Arc::clone(&broker.front));
        let task = serve(socket, stream, IpAddr::from([127, 0, 0, 1]));
        let bytes = size_of_val(&task) + size_of::<Connection>() + size_of::<Session>();
        assert!(bytes < 1200, "{bytes}");
    }

    #[tokio::test]
    async fn a_panic_ends_its_connection_and_frees_the_client_id() {
        let (broker, _link) = Broker::start(&settings()).unwrap();
        let listener = TcpListener::bind(settings().listen).await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        peer.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a").await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let established = handshake::establish(&broker.front, stream, address.ip()).await;
        let mut connection = established.unwrap();
        assert_eq!(broker.stats().connections, 1);
        let until = Box::pin(async { panic!("a fault of ours") });
        connection.stall = Some(Box::new(Stall { until, message: None }));
        attend(connection).await;
        assert_eq!(broker.stats().connections, 0);
    }
}
