//! mdns-sd under one name, from its start to its end.

use super::reach::{self, Reach};
use mdns_sd::{
    DaemonEvent, HostnameResolutionEvent, IfKind, IfPredicate, Receiver, ScopedIp, ServiceDaemon,
    ServiceInfo,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// How often the machine's addresses are looked at, in seconds: what the thread wakes up for where
/// nobody asks. A Wi-Fi that comes up late is told of as late as this.
const ADDRESS_CHECK_SECONDS: u32 = 10;

/// How long it is waited for others that answer to our name, in milliseconds: two questions.
const CONTEST_MS: u64 = 3000;

/// The longest time between two such questions.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The longest time that the goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Something to be found at the hub (RFC 6763).
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// What it is, as registered with IANA: `_http._tcp`.
    pub(super) kind: &'static str,
    /// Its TCP port.
    pub(super) port: u16,
    /// Keys and values of its TXT record.
    pub(super) text: &'static [(&'static str, &'static str)],
}

/// How another machine turns out to have the name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It had the name already; this one is free.
    Renamed(String),
    /// It answers to the name as we do.
    Contested(IpAddr),
}

/// Why the hub's name is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponderError {
    /// Another program has the port, and does not share it.
    #[error("can't listen on UDP port {port}: {error}")]
    Port {
        /// The port.
        port: u16,
        /// The system's word.
        error: io::Error,
    },
    /// It is not known which addresses there are to be told.
    #[error("can't list the network's interfaces: {0}")]
    Interfaces(io::Error),
    /// The library has refused something.
    #[error(transparent)]
    Refused(#[from] mdns_sd::Error),
    /// The library's thread is gone; the log has where, if it has panicked.
    #[error("the responder has ended by itself")]
    Ended,
}

/// A thread that answers for one name.
pub(super) struct Responder {
    daemon: ServiceDaemon,
    events: Receiver<DaemonEvent>,
    /// The whole name as the library has it, with the dot at its end.
    host: String,
}

impl Responder {
    /// Begins to ask whether the name is free, and to answer for it if so.
    pub(super) fn start(
        name: &str,
        services: &[Service],
        reach: &Reach,
        port: u16,
    ) -> Result<Self, ResponderError> {
        // The library says neither that it has no socket nor that it sees no interfaces.
        try_port(reach.listener(), port).map_err(|error| ResponderError::Port { port, error })?;
        let addresses = reach.addresses().map_err(ResponderError::Interfaces)?;

        let host = format!("{name}.local.");
        let infos = services
            .iter()
            .map(|service| {
                let kind = format!("{}.local.", service.kind);
                ServiceInfo::new(&kind, name, &host, (), service.port, service.text)
                    .map(ServiceInfo::enable_addr_auto)
            })
            .collect::<Result<Vec<_>, _>>()?;

        let daemon = ServiceDaemon::new_with_port(port)?;
        match instruct(&daemon, infos, reach.clone()) {
            Ok(events) => {
                if addresses.is_empty() {
                    warn!("there is no network to be {name}.local on yet; it is waited for");
                } else {
                    info!(?addresses, "the hub is {name}.local");
                }
                Ok(Self { daemon, events, host })
            }
            Err(error) => {
                // Its thread lives for ever otherwise.
                let _ = daemon.shutdown();
                Err(error.into())
            }
        }
    }

    /// Waits until another machine turns out to have the name.
    ///
    /// The library finds that out while it asks for the name before it takes it, in less than a
    /// second. A machine that was slow to answer, that took the name at the same time, or that joined
    /// the network later, is found here (RFC 6762, section 9): the name is asked for again after
    /// `pause`, which doubles each time, up to an hour.
    ///
    /// # Errors
    ///
    /// [`ResponderError`] where the library has ended, or does not take the question.
    pub(super) async fn lost(&mut self, pause: &mut Duration) -> Result<Loss, ResponderError> {
        let mut answers = None;
        let mut next = std::pin::pin!(sleep(*pause));
        loop {
            tokio::select! {
                event = self.events.recv_async() => {
                    let event = event.map_err(|_| ResponderError::Ended)?;
                    if let Some(free) = self.heard(event) {
                        return Ok(Loss::Renamed(free));
                    }
                }
                () = &mut next => {
                    answers = Some(self.daemon.resolve_hostname(&self.host, Some(CONTEST_MS))?);
                    *pause = (*pause * 2).min(LONGEST_PAUSE);
                    next.set(sleep(*pause));
                }
                event = answer(answers.as_ref()) => match event {
                    Some(HostnameResolutionEvent::AddressesFound(_, addresses)) => {
                        let ours = reach::machine().map_err(ResponderError::Interfaces)?;
                        let mut all = addresses.iter().map(ScopedIp::to_ip_addr);
                        if let Some(other) = all.find(|address| !ours.contains(address)) {
                            return Ok(Loss::Contested(other));
                        }
                    }
                    Some(_) => {}
                    None => answers = None,
                },
            }
        }
    }

    /// Takes in what the library says of itself; returns the name that it has gone on to.
    fn heard(&self, event: DaemonEvent) -> Option<String> {
        let name = self.host.trim_end_matches(".local.");
        match event {
            DaemonEvent::NameChange(change) if change.original == self.host => {
                return Some(change.new_name.trim_end_matches(".local.").to_owned());
            }
            DaemonEvent::IpAdd(address) => info!(%address, "the hub is {name}.local here, too"),
            DaemonEvent::Error(error) => warn!("the hub as {name}.local: {error}"),
            event => debug!(?event, "multicast DNS"),
        }
        None
    }

    /// Ends the thread behind the responder's back.
    #[cfg(test)]
    pub(super) fn kill(&self) {
        self.daemon.shutdown().unwrap().recv().unwrap();
    }

    /// Takes back what was said, so that nobody keeps it for two minutes or more, and ends the thread.
    pub(super) async fn stop(self) {
        // An error means that the thread has ended already.
        let Ok(ended) = self.daemon.shutdown() else { return };
        if timeout(GOODBYE_TIMEOUT, ended.recv_async()).await.is_err() {
            warn!("multicast DNS did not end in time");
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Tells the library's thread what to do; what it has to say comes in return.
fn instruct(
    daemon: &ServiceDaemon,
    infos: Vec<ServiceInfo>,
    reach: Reach,
) -> mdns_sd::Result<Receiver<DaemonEvent>> {
    let events = daemon.monitor()?;
    daemon.set_ip_check_interval(ADDRESS_CHECK_SECONDS)?;
    let others = IfPredicate::new(move |i| !reach.includes(&i.name, i.ip()));
    daemon.disable_interface(IfKind::Predicate(others))?;
    for info in infos {
        daemon.register(info)?;
    }
    Ok(events)
}

/// The next of `answers`, if there are any; `None` once there are no more.
async fn answer(
    answers: Option<&Receiver<HostnameResolutionEvent>>,
) -> Option<HostnameResolutionEvent> {
    match answers {
        Some(answers) => answers.recv_async().await.ok(),
        None => std::future::pending().await,
    }
}

/// Binds the port as the library will, beside others that share it.
fn try_port(listener: IpAddr, port: u16) -> io::Result<()> {
    let any = match listener {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let address = SocketAddr::new(any, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())
}
