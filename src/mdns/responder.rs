//! mdns-sd under one name, from its start to its end.

use super::reach::{self, Reach};
use mdns_sd::{
    DaemonEvent, HostnameResolutionEvent, IfKind, IfPredicate, Receiver, ScopedIp, ServiceDaemon,
    ServiceInfo,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashSet,
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

/// Who has the name.
#[derive(Debug, PartialEq, Eq)]
enum Contest {
    /// This machine alone.
    None,
    /// This machine, and one with a lower address should leave it.
    Won(IpAddr),
    /// Another machine, with a higher address.
    Lost,
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
    reach: Reach,
    /// The addresses that the machine has, or has had: the library remembers them for two minutes.
    ours: HashSet<IpAddr>,
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
        let ours = reach::machine().map_err(ResponderError::Interfaces)?.into_iter().collect();

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
                Ok(Self { daemon, events, host, reach: reach.clone(), ours })
            }
            Err(error) => {
                // Its thread lives for ever otherwise.
                let _ = daemon.shutdown();
                Err(error.into())
            }
        }
    }

    /// Waits until the name has to be left to another machine; returns one to go on with.
    ///
    /// The library asks for the name before it takes it, and leaves it to a machine that defends it
    /// within a second. One that was slow, took it at the same time, joined the network later, or
    /// never defends what it answers to, is found here: the name is asked for again after `pause`,
    /// which doubles each time, up to an hour.
    ///
    /// # Errors
    ///
    /// [`ResponderError`] where the library has ended, or does not take the question.
    pub(super) async fn lost(&mut self, pause: &mut Duration) -> Result<String, ResponderError> {
        let mut answers = None;
        let mut next = std::pin::pin!(sleep(*pause));
        loop {
            tokio::select! {
                event = self.events.recv_async() => {
                    let event = event.map_err(|_| ResponderError::Ended)?;
                    if let Some(free) = self.heard(event) {
                        return Ok(free);
                    }
                }
                () = &mut next => {
                    answers = Some(self.daemon.resolve_hostname(&self.host, Some(CONTEST_MS))?);
                    *pause = (*pause * 2).min(LONGEST_PAUSE);
                    next.set(sleep(*pause));
                }
                event = answer(answers.as_ref()) => match event {
                    Some(HostnameResolutionEvent::AddressesFound(_, found)) => {
                        let found = found.iter().map(ScopedIp::to_ip_addr).collect();
                        match self.contest(found)? {
                            Contest::None => {}
                            Contest::Lost => return Ok(next_name(self.name())),
                            Contest::Won(other) => {
                                warn!(
                                    "{other} answers to {}.local, too, and boards may go there: \
                                     call one of the two otherwise (setting `mdns.name`)",
                                    self.name()
                                );
                                // Once is enough until it is asked again.
                                answers = None;
                            }
                        }
                    }
                    Some(_) => {}
                    None => answers = None,
                },
            }
        }
    }

    /// Who has the name, with what is `found` under it. Of two machines, the one with the lower address
    /// leaves it (as in RFC 6762, section 8.2), so that never both do.
    fn contest(&mut self, found: Vec<IpAddr>) -> Result<Contest, ResponderError> {
        self.ours.extend(reach::machine().map_err(ResponderError::Interfaces)?);
        let told = self.reach.addresses().map_err(ResponderError::Interfaces)?;
        let theirs = found.into_iter().filter(|address| !self.ours.contains(address)).max();
        Ok(match theirs {
            None => Contest::None,
            Some(other) if told.into_iter().max() > theirs => Contest::Won(other),
            Some(_) => Contest::Lost,
        })
    }

    /// The name without `.local`.
    fn name(&self) -> &str {
        self.host.trim_end_matches(".local.")
    }

    /// Takes in what the library says of itself; returns the name that it has gone on to.
    fn heard(&mut self, event: DaemonEvent) -> Option<String> {
        if let DaemonEvent::IpAdd(address) = &event {
            self.ours.insert(*address);
        }
        let name = self.name();
        match event {
            DaemonEvent::NameChange(change) if change.original == self.host => {
                return Some(change.new_name.trim_end_matches(".local.").to_owned());
            }
            DaemonEvent::IpAdd(address) => info!(%address, "the hub is {name}.local here"),
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

/// What to be called where `name` is another machine's: with the next number behind it.
fn next_name(name: &str) -> String {
    let numbered = name.rsplit_once('-').and_then(|(stem, number)| {
        let number: u32 = number.parse().ok()?;
        Some(format!("{stem}-{}", number.checked_add(1)?))
    });
    numbered.unwrap_or_else(|| format!("{name}-2"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_followed_by_one_with_the_next_number() {
        for (name, next) in [
            ("capteur", "capteur-2"),
            ("capteur-2", "capteur-3"),
            ("capteur-9", "capteur-10"),
            ("hub-of-house", "hub-of-house-2"),
            ("hub-4294967295", "hub-4294967295-2"),
        ] {
            assert_eq!(next_name(name), next);
        }
    }

    #[tokio::test]
    async fn of_two_machines_with_one_name_the_one_with_the_lower_address_leaves_it() {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let reach = Reach::new(here, &["lo".to_owned()]).unwrap();
        // The port is that of nobody: nothing is asked or answered.
        let mut responder = Responder::start("capteur", &[], &reach, 0).unwrap();
        let mut contest = |found: &[&str]| {
            let found = found.iter().map(|address| address.parse().unwrap()).collect();
            responder.contest(found).unwrap()
        };
        assert_eq!(contest(&[]), Contest::None);
        assert_eq!(contest(&["127.0.0.1", "::1"]), Contest::None, "the machine's own");
        assert_eq!(contest(&["127.0.0.1", "192.0.2.250"]), Contest::Lost);
        assert_eq!(contest(&["127.0.0.1", "2001:db8::1"]), Contest::Lost);
        let lower: IpAddr = "10.0.0.250".parse().unwrap();
        assert_eq!(contest(&["127.0.0.1", "10.0.0.250"]), Contest::Won(lower));
        responder.stop().await;
    }
}
