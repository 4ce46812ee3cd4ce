//! mosquitto as a child process, with the subscriber behind it.

use crate::{
    Outcome,
    machine::SCRATCH,
    process::{self, Process},
    subscriber::{self, Subscriber},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

/// mosquitto on a loopback port of its own.
///
/// Set up in its favour: nothing is stored, nothing is logged, small packets leave at once, and
/// its queues are long enough that it loses nothing where thousands of boards share a topic.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The session protocol behind the broker; dropped first, since it complains when that is gone.
    pub(crate) subscriber: Subscriber,
    /// What the broker uses.
    pub(crate) process: Process,
    /// Where boards connect.
    pub(crate) mqtt: SocketAddr,
    _folder: TempDir,
}

impl Peer {
    pub(crate) async fn start() -> Outcome<Self> {
        let folder = TempDir::new_in(SCRATCH)?;
        let configuration = folder.path().join("mosquitto.conf");
        // mosquitto can't say which port it took: ask the system for a free one first.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        fs::write(
            &configuration,
            format!(
                "listener {port} 127.0.0.1\n\
                 allow_anonymous true\n\
                 persistence false\n\
                 log_type none\n\
                 set_tcp_nodelay true\n\
                 max_inflight_messages 1000\n\
                 max_queued_messages 0\n"
            ),
        )?;
        let mut process = Process::start(
            Command::new(program()).arg("-c").arg(&configuration).stderr(Stdio::null()),
        )?;
        let mqtt = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let give_up_at = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(mqtt).await.is_err() {
            process.check()?;
            if Instant::now() > give_up_at {
                return Err("mosquitto does not listen after 10 s".into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        let subscriber = Subscriber::start(mqtt).await?;
        Ok(Self { subscriber, process, mqtt, _folder: folder })
    }

    /// Processor time of mosquitto and of the subscriber's thread, in seconds.
    pub(crate) fn cpu(&self) -> Outcome<f64> {
        Ok(self.process.cpu()? + process::cpu_of_threads(subscriber::THREAD)?)
    }
}

/// Debian puts it where only root's path leads.
fn program() -> &'static str {
    let installed = "/usr/sbin/mosquitto";
    if Path::new(installed).exists() { installed } else { "mosquitto" }
}
