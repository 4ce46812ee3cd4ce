//! A chip finds the hub over the loopback interface, as it would over the air.

mod chip;

use super::*;
use mdns_sd::{ServiceDaemon, ServiceInfo};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use tokio::{sync::oneshot, task::JoinHandle};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Generous: only a test that fails ever waits so long.
const DEADLINE: Duration = Duration::from_mins(1);

/// A name that no other test, run or hub of this network has; it does not end with a number, as names do
/// that were given up.
fn unique(what: &str) -> String {
    format!("capteur-{what}-{:08x}-x", getrandom::u32().unwrap())
}

fn mdns(name: &str, listen: &str, interfaces: &[&str]) -> Mdns {
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    let settings = config::Mdns { name: name.to_owned(), interfaces };
    let listen: SocketAddr = listen.parse().unwrap();
    Mdns::new(&settings, &Addresses { mqtt: listen, http: listen })
}

/// One that runs, and can be stopped.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(mdns: Mdns) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(mdns.run(async {
            let _ = stopped.await;
        }));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}

/// Asks as a chip does, again and again, until there is an answer.
async fn find(name: &str, port: u16) -> Ipv4Addr {
    let host = format!("{name}.local");
    tokio::task::spawn_blocking(move || chip::find(&host, port, DEADLINE)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chip_finds_the_hub_by_its_name() {
    let name = unique("found");
    let hub = Running::start(mdns(&name, "127.0.0.1:1883", &["lo"]));
    assert_eq!(find(&name, MDNS_PORT).await, HERE);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_capitals_is_told_in_small_letters() {
    let name = unique("Capitals");
    let hub = Running::start(mdns(&name, "127.0.0.1:1883", &["lo"]));
    assert_eq!(find(&name.to_ascii_lowercase(), MDNS_PORT).await, HERE);
    hub.stop().await;
}

#[tokio::test]
async fn nothing_is_said_of_a_hub_that_nobody_can_reach_or_that_has_no_name() {
    for mdns in [mdns("capteur", "127.0.0.1:1883", &[]), mdns("", "127.0.0.1:1883", &["lo"])] {
        tokio::time::timeout(DEADLINE, mdns.run(std::future::pending())).await.unwrap();
    }
}

#[test]
fn a_page_that_the_boards_network_cannot_reach_is_not_listed() {
    for (http, listed) in [("0.0.0.0:80", true), ("[::]:80", true), ("127.0.0.1:80", false)] {
        let settings = config::Mdns { name: "capteur".to_owned(), interfaces: Vec::new() };
        let addresses =
            Addresses { mqtt: "0.0.0.0:1883".parse().unwrap(), http: http.parse().unwrap() };
        let kinds: Vec<_> =
            Mdns::new(&settings, &addresses).services.iter().map(|s| s.kind).collect();
        assert_eq!(kinds.contains(&"_http._tcp"), listed, "{http}");
        assert!(kinds.contains(&"_mqtt._tcp"));
    }
}

/// Another machine, with an address that is not the hub's.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// Has another machine take the name; rudely if it does not ask before.
fn take(name: &str, rudely: bool) -> ServiceDaemon {
    let other = ServiceDaemon::new().unwrap();
    let host = format!("{name}.local.");
    let nothing: &[(&str, &str)] = &[];
    let service =
        ServiceInfo::new("_other._tcp.local.", name, &host, OTHER.to_string(), 1, nothing);
    let mut service = service.unwrap();
    service.set_requires_probe(!rudely);
    other.register(service).unwrap();
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_machine_has_gets_a_number() {
    let name = unique("taken");
    let other = take(&name, false);
    assert_eq!(find(&name, MDNS_PORT).await, OTHER);
    let hub = Running::start(mdns(&name, "127.0.0.1:1883", &["lo"]));
    assert_eq!(find(&format!("{name}-2"), MDNS_PORT).await, HERE);
    assert_eq!(find(&name, MDNS_PORT).await, OTHER, "it stays the other's");
    hub.stop().await;
    other.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_machine_takes_later_gets_a_number() {
    let name = unique("contested");
    let mdns = mdns(&name, "127.0.0.1:1883", &["lo"]);
    let hub = Running::start(Mdns { first_pause: Duration::from_millis(500), ..mdns });
    assert_eq!(find(&name, MDNS_PORT).await, HERE);
    let other = take(&name, true);
    assert_eq!(find(&format!("{name}-2"), MDNS_PORT).await, HERE);
    hub.stop().await;
    other.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_tried_again() {
    let holder = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let name = unique("late");
    let started = || {
        let mdns = mdns(&name, "127.0.0.1:1883", &["lo"]);
        Mdns { port, retry: Duration::from_millis(10), ..mdns }
    };
    let refused = Responder::start(&name, &[], started().reach.as_ref().unwrap(), port);
    assert!(matches!(refused, Err(ResponderError::Port { .. })), "{refused:?}");

    let waiting = Running::start(started());
    waiting.stop().await;

    let hub = Running::start(started());
    drop(holder);
    assert_eq!(find(&name, port).await, HERE);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_dies_is_noticed() {
    let mdns = mdns(&unique("dead"), "127.0.0.1:1883", &["lo"]);
    let mut responder =
        Responder::start(&mdns.name, &mdns.services, mdns.reach.as_ref().unwrap(), mdns.port)
            .unwrap();
    responder.kill();
    let mut pause = FIRST_PAUSE;
    let ended = tokio::time::timeout(DEADLINE, responder.lost(&mut pause)).await.unwrap();
    assert!(matches!(ended, Err(ResponderError::Ended)), "{ended:?}");
    tokio::time::timeout(DEADLINE, responder.stop()).await.unwrap();
}
