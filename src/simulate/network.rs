//! TCP streams that can be cut.

use super::board::Cut;
use capteur_node::Connector;
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorType, Read, Write};
use std::io;
use tokio::{net::TcpStream, sync::watch};

/// A board's way to its hub.
pub(super) struct Network {
    /// `host:port`.
    pub(super) broker: String,
    pub(super) cuts: watch::Receiver<Option<Cut>>,
}

impl Connector for Network {
    type Stream<'a> = Line;
    type Error = io::Error;

    async fn open(&mut self) -> io::Result<Line> {
        let tcp = TcpStream::connect(&self.broker).await?;
        tcp.set_nodelay(true)?;
        let mut cuts = self.cuts.clone();
        // Cuts of earlier connections are no concern of this one.
        cuts.mark_unchanged();
        Ok(Line { tcp: FromTokio::new(tcp), end: End { cuts, cut: None } })
    }
}

/// One connection.
pub(super) struct Line {
    tcp: FromTokio<TcpStream>,
    end: End,
}

impl ErrorType for Line {
    type Error = io::Error;
}

impl Read for Line {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.end.or(self.tcp.read(buffer)).await
    }
}

impl Write for Line {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.end.or(self.tcp.write(bytes)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        // TCP has no buffer of its own on this side.
        Ok(())
    }
}

/// The end of a connection: a cut, once there is one.
struct End {
    cuts: watch::Receiver<Option<Cut>>,
    cut: Option<Cut>,
}

impl End {
    /// Transfers something, unless or until the connection is cut.
    async fn or(&mut self, transfer: impl Future<Output = io::Result<usize>>) -> io::Result<usize> {
        tokio::select! {
            biased;
            cut = self.comes() => match cut {
                Cut::Drop => Err(io::ErrorKind::ConnectionReset.into()),
                Cut::Stall => std::future::pending().await,
            },
            transferred = transfer => transferred,
        }
    }

    async fn comes(&mut self) -> Cut {
        loop {
            if let Some(cut) = self.cut {
                return cut;
            }
            if self.cuts.changed().await.is_err() {
                // Nobody is left who could cut.
                std::future::pending::<()>().await;
            }
            self.cut = *self.cuts.borrow_and_update();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};

    struct Place {
        network: Network,
        cuts: watch::Sender<Option<Cut>>,
        listener: TcpListener,
    }

    async fn place() -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cuts, receiver) = watch::channel(None);
        let broker = listener.local_addr().unwrap().to_string();
        Place { network: Network { broker, cuts: receiver }, cuts, listener }
    }

    #[tokio::test]
    async fn a_dropped_line_fails_at_both_ends_and_the_next_one_holds() {
        let Place { mut network, cuts, listener } = place().await;
        let mut line = network.open().await.unwrap();
        let (mut hub, _) = listener.accept().await.unwrap();
        cuts.send_replace(Some(Cut::Drop));
        for _ in 0..2 {
            let error = line.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert!(line.write(b"lost").await.is_err());
        }
        drop(line);
        let read = tokio::io::AsyncReadExt::read(&mut hub, &mut [0; 8]).await;
        assert!(matches!(read, Ok(0) | Err(_)));

        let mut line = network.open().await.unwrap();
        let (mut hub, _) = listener.accept().await.unwrap();
        hub.write_all(b"hello").await.unwrap();
        assert_eq!(line.read(&mut [0; 8]).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn a_stalled_line_carries_nothing_and_does_not_fail() {
        let Place { mut network, cuts, listener } = place().await;
        let mut line = network.open().await.unwrap();
        let (mut hub, _) = listener.accept().await.unwrap();
        cuts.send_replace(Some(Cut::Stall));
        hub.write_all(b"hello").await.unwrap();
        // Pending however long one waits: a short time only lets a wrong answer come.
        let brief = Duration::from_millis(50);
        assert!(timeout(brief, line.read(&mut [0; 8])).await.is_err());
        assert!(timeout(brief, line.write(b"lost")).await.is_err());
    }
}
