//! On which interfaces and at which addresses the hub is told of: there where boards can connect.

use std::{io, net::IpAddr};

/// Which of the machine's addresses are told, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    /// What the MQTT server listens on.
    listener: IpAddr,
    /// The interfaces that a person has chosen; empty for all but those of the machine's own.
    interfaces: Vec<String>,
}

impl Reach {
    /// Where a hub that listens on `listener` can be found; `None` where nobody could connect.
    pub(super) fn new(listener: IpAddr, interfaces: &[String]) -> Option<Self> {
        let someone = !listener.is_loopback() || !interfaces.is_empty();
        someone.then(|| Self { listener, interfaces: interfaces.to_vec() })
    }

    /// Whether `address`, which is one of `interface`, is told there.
    pub(super) fn includes(&self, interface: &str, address: IpAddr) -> bool {
        covers(self.listener, address)
            && if self.interfaces.is_empty() {
                let chosen = self.listener == address;
                !address.is_loopback() && (chosen || !is_of_containers(interface))
            } else {
                self.interfaces.iter().any(|name| name == interface)
            }
    }

    /// The addresses that are told at present.
    ///
    /// # Errors
    ///
    /// The system's word, where it does not list its interfaces (`getifaddrs(3)`).
    pub(super) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let told = |interface: &if_addrs::Interface| {
            interface.is_oper_up() && self.includes(&interface.name, interface.ip())
        };
        Ok(if_addrs::get_if_addrs()?
            .iter()
            .filter(|i| told(i))
            .map(if_addrs::Interface::ip)
            .collect())
    }

    /// The address that is listened on.
    pub(super) const fn listener(&self) -> IpAddr {
        self.listener
    }
}

/// All addresses that the machine has.
///
/// # Errors
///
/// The system's word.
pub(super) fn machine() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

/// Whether a listener on `listener` takes what is sent to `address`, or to all that a listener on
/// `address` takes.
pub(super) fn covers(listener: IpAddr, address: IpAddr) -> bool {
    listener == address
        || match listener {
            IpAddr::V4(any) => any.is_unspecified() && address.is_ipv4(),
            // Linux hands it connections over IPv4, too.
            IpAddr::V6(any) => any.is_unspecified(),
        }
}

/// Whether an interface leads to containers or virtual machines on this machine, by the names that
/// their software gives.
fn is_of_containers(interface: &str) -> bool {
    const PREFIXES: [&str; 10] = [
        "docker", "podman", "veth", "virbr", "lxcbr", "lxdbr", "incusbr", "cni", "flannel", "cali",
    ];
    // A network of Docker's with its identifier; `br-lan` is somebody's LAN.
    let docker = |rest: &str| rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    PREFIXES.iter().any(|prefix| interface.starts_with(prefix))
        || interface.strip_prefix("br-").is_some_and(docker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(listener: &str, interfaces: &[&str]) -> Option<Reach> {
        let interfaces: Vec<_> = interfaces.iter().map(|name| (*name).to_owned()).collect();
        Reach::new(listener.parse().unwrap(), &interfaces)
    }

    fn told(reach: &Reach) -> Vec<&'static str> {
        [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "192.168.1.5"),
            ("eth0", "fe80::1"),
            ("wlan0", "192.168.1.6"),
            ("br-lan", "10.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("br-0123456789ab", "172.18.0.1"),
        ]
        .into_iter()
        .filter(|(interface, address)| reach.includes(interface, address.parse().unwrap()))
        .map(|(_, address)| address)
        .collect()
    }

    #[test]
    fn a_listener_on_everything_is_told_at_what_others_can_reach() {
        let v4 = ["192.168.1.5", "192.168.1.6", "10.0.0.1"];
        assert_eq!(told(&reach("0.0.0.0", &[]).unwrap()), v4);
        let both = ["192.168.1.5", "fe80::1", "192.168.1.6", "10.0.0.1"];
        assert_eq!(told(&reach("::", &[]).unwrap()), both);
    }

    #[test]
    fn a_listener_on_one_address_is_told_there_alone() {
        assert_eq!(told(&reach("192.168.1.6", &[]).unwrap()), ["192.168.1.6"]);
        // Who listens for containers alone wants to be found by them.
        assert_eq!(told(&reach("172.17.0.1", &[]).unwrap()), ["172.17.0.1"]);
        assert!(told(&reach("192.168.1.99", &[]).unwrap()).is_empty());
    }

    #[test]
    fn a_listener_for_this_machine_alone_is_not_told() {
        assert_eq!(reach("127.0.0.1", &[]), None);
        assert_eq!(reach("::1", &[]), None);
    }

    #[test]
    fn chosen_interfaces_replace_the_choice_but_not_the_listener() {
        assert_eq!(
            told(&reach("0.0.0.0", &["wlan0", "docker0"]).unwrap()),
            ["192.168.1.6", "172.17.0.1"]
        );
        assert_eq!(told(&reach("127.0.0.1", &["lo", "eth0"]).unwrap()), ["127.0.0.1"]);
        assert!(told(&reach("192.168.1.5", &["wlan0"]).unwrap()).is_empty());
    }

    #[test]
    fn this_machine_lists_its_loopback_address() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(reach("127.0.0.1", &["lo"]).unwrap().addresses().unwrap(), [here]);
        assert!(reach("127.0.0.1", &["no-such"]).unwrap().addresses().unwrap().is_empty());
    }
}
