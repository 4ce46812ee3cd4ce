//! The boards and the threads that they live on.

use super::{
    board::Board,
    life::{Birth, live},
    options::Options,
    random::mix,
};
use capteur_protocol::Mac;
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};
use tokio::{runtime, sync::watch, task::LocalSet};

/// More threads would only take the processors from the hub.
const THREADS_MAX: usize = 4;

/// Boards that live until the fleet is stopped or dropped.
#[derive(Debug)]
pub struct Fleet {
    boards: Vec<Board>,
    online: watch::Receiver<usize>,
    /// The threads run as long as this exists.
    alive: watch::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Switches the boards on. They find their hub whenever it comes.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread or no event queue.
    pub fn start(options: Options) -> io::Result<Self> {
        let options = Arc::new(options);
        let (online, online_receiver) = watch::channel(0);
        let (alive, stopped) = watch::channel(());
        let (boards, births): (Vec<Board>, Vec<Birth>) = (0..options.devices)
            .map(|number| {
                let (board, inside) = Board::new(mac(options.seed, number));
                let (options, online) = (Arc::clone(&options), online.clone());
                (board.clone(), Birth { options, number, board, inside, online })
            })
            .unzip();

        let mut shares: Vec<Vec<Birth>> = (0..threads(&options)).map(|_| Vec::new()).collect();
        let count = shares.len();
        for birth in births {
            shares[birth.number % count].push(birth);
        }
        let spawn = |(number, births)| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let mut stopped = stopped.clone();
            thread::Builder::new().name(format!("boards-{number}")).spawn(move || {
                let boards = LocalSet::new();
                for birth in births {
                    boards.spawn_local(live(birth));
                }
                boards.block_on(&runtime, async { while stopped.changed().await.is_ok() {} });
            })
        };
        let threads = shares.into_iter().enumerate().map(spawn).collect::<io::Result<_>>()?;
        Ok(Self { boards, online: online_receiver, alive, threads })
    }

    /// The boards, by number.
    pub fn boards(&self) -> &[Board] {
        &self.boards
    }

    /// How many boards are online.
    pub fn online(&self) -> usize {
        *self.online.borrow()
    }

    /// Follows how many boards are online.
    pub fn watch_online(&self) -> watch::Receiver<usize> {
        self.online.clone()
    }

    /// Waits until every board is online. The caller bounds the time.
    pub async fn all_online(&self) {
        let mut online = self.watch_online();
        if online.wait_for(|count| *count == self.boards.len()).await.is_err() {
            // All threads have ended: it will never be.
            std::future::pending::<()>().await;
        }
    }

    /// Takes the current from all boards at once, as if they were unplugged: the hub gets no
    /// farewell, and publishes their wills. Returns when their connections are closed.
    pub async fn stop(self) {
        let Self { alive, threads, .. } = self;
        drop(alive);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        if !matches!(joined.await, Ok(0)) {
            tracing::error!("a thread of the simulated boards panicked");
        }
    }
}

fn threads(options: &Options) -> usize {
    let wanted = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX),
        wanted => wanted,
    };
    wanted.clamp(1, options.devices.max(1))
}

/// Locally administered (IEEE 802, 8.4.4.2), told apart by number, and by seed as far as 16 bits do.
fn mac(seed: u64, number: usize) -> Mac {
    let [.., high, low] = mix(seed).to_be_bytes();
    let [.., a, b, c] = number.to_be_bytes();
    Mac([0x02, high, low, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Phase;
    use std::{collections::HashSet, time::Duration};
    use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

    const GENEROUS: Duration = Duration::from_mins(1);

    #[test]
    fn macs_are_locally_administered_unique_and_follow_from_the_seed() {
        let macs: HashSet<Mac> = (0..10_000).map(|number| mac(1, number)).collect();
        assert_eq!(macs.len(), 10_000);
        assert!(macs.iter().all(|mac| mac.0[0] == 0x02));
        assert_eq!(mac(1, 7), mac(1, 7));
        assert_ne!(mac(1, 7), mac(2, 7));
    }

    #[tokio::test]
    async fn boards_knock_at_the_broker_and_are_gone_once_the_fleet_is_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = listener.local_addr().unwrap().to_string();
        let fleet = Fleet::start(Options::quiet(broker, 5)).unwrap();
        let mut lines = Vec::new();
        for _ in 0..5 {
            let mut line = timeout(GENEROUS, listener.accept()).await.unwrap().unwrap().0;
            // The beginning of a CONNECT.
            assert_eq!(timeout(GENEROUS, line.read_u8()).await.unwrap().unwrap(), 0x10);
            lines.push(line);
        }
        assert_eq!(fleet.online(), 0);
        assert!(fleet.boards().iter().all(|board| board.state().phase == Phase::Connecting));
        timeout(GENEROUS, fleet.stop()).await.unwrap();
        for mut line in lines {
            // The rest of the CONNECT, and then the end of the stream.
            let mut rest = Vec::new();
            timeout(GENEROUS, line.read_to_end(&mut rest)).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_fleet_of_no_boards_starts_and_stops() {
        let fleet = Fleet::start(Options::new("localhost:1", 0)).unwrap();
        timeout(GENEROUS, fleet.all_online()).await.unwrap();
        timeout(GENEROUS, fleet.stop()).await.unwrap();
    }
}
