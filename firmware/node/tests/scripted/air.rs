//! Streams in memory, between board and hub.

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// The port that boards connect to.
#[derive(Clone)]
pub(crate) struct Port(Rc<PortState>);

struct PortState {
    open: Cell<bool>,
    silent: Cell<bool>,
    attempts: Cell<usize>,
    chunk: Cell<usize>,
    capacity: Cell<usize>,
    waiting: RefCell<VecDeque<End>>,
    waker: RefCell<Option<Waker>>,
}

impl Port {
    pub(crate) fn new() -> Self {
        Self(Rc::new(PortState {
            open: Cell::new(true),
            silent: Cell::new(false),
            attempts: Cell::new(0),
            chunk: Cell::new(usize::MAX),
            capacity: Cell::new(usize::MAX),
            waiting: RefCell::default(),
            waker: RefCell::default(),
        }))
    }

    /// Lets nobody in, or everybody.
    pub(crate) fn set_open(&self, open: bool) {
        self.0.open.set(open);
    }

    /// Leaves whoever knocks without an answer, as a network does that loses everything.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.0.silent.set(silent);
    }

    /// How often somebody has knocked.
    pub(crate) fn attempts(&self) -> usize {
        self.0.attempts.get()
    }

    /// From now on streams carry at most this many bytes per read and write.
    pub(crate) fn set_chunk(&self, bytes: usize) {
        self.0.chunk.set(bytes);
    }

    /// From now on streams take at most this many bytes that nobody has read.
    pub(crate) fn set_capacity(&self, bytes: usize) {
        self.0.capacity.set(bytes);
    }

    pub(crate) async fn connect(&self) -> Result<End, Broken> {
        self.0.attempts.set(self.0.attempts.get() + 1);
        if self.0.silent.get() {
            std::future::pending::<()>().await;
        }
        if !self.0.open.get() {
            return Err(Broken);
        }
        let pipe = || Rc::new(Pipe::new(self.0.chunk.get(), self.0.capacity.get()));
        let (up, down) = (pipe(), pipe());
        let hub = End { incoming: Rc::clone(&up), outgoing: Rc::clone(&down) };
        self.0.waiting.borrow_mut().push_back(hub);
        wake(&self.0.waker);
        Ok(End { incoming: down, outgoing: up })
    }

    pub(crate) async fn accept(&self) -> End {
        poll_fn(|cx| {
            if let Some(end) = self.0.waiting.borrow_mut().pop_front() {
                return Poll::Ready(end);
            }
            *self.0.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow_mut().take() {
        waker.wake();
    }
}

struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    closed: Cell<bool>,
    chunk: usize,
    capacity: usize,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Pipe {
    fn new(chunk: usize, capacity: usize) -> Self {
        Self {
            bytes: RefCell::default(),
            closed: Cell::new(false),
            chunk,
            capacity,
            reader: RefCell::default(),
            writer: RefCell::default(),
        }
    }

    fn close(&self) {
        self.closed.set(true);
        wake(&self.reader);
        wake(&self.writer);
    }
}

/// One end of a stream. Dropping it closes the stream.
pub(crate) struct End {
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

/// The stream was closed at the other end, or could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

impl Error for Broken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::ConnectionReset
    }
}

impl ErrorType for End {
    type Error = Broken;
}

impl Read for End {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        poll_fn(|cx| {
            let mut bytes = self.incoming.bytes.borrow_mut();
            if bytes.is_empty() && !self.incoming.closed.get() {
                *self.incoming.reader.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = bytes.len().min(buffer.len()).min(self.incoming.chunk);
            for (to, from) in buffer.iter_mut().zip(bytes.drain(..count)) {
                *to = from;
            }
            wake(&self.incoming.writer);
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for End {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, Broken> {
        poll_fn(|cx| {
            if self.outgoing.closed.get() {
                return Poll::Ready(Err(Broken));
            }
            let mut bytes = self.outgoing.bytes.borrow_mut();
            let room = self.outgoing.capacity - bytes.len();
            if room == 0 {
                *self.outgoing.writer.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = buffer.len().min(room).min(self.outgoing.chunk);
            bytes.extend(&buffer[..count]);
            wake(&self.outgoing.reader);
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}
