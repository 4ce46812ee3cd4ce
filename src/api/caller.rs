//! Who is asking.

use std::{fmt, net::IpAddr};

/// Who sent a request, as the log of a device names them.
///
/// Callers have no names yet, so that all that is known of them is their network address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    address: IpAddr,
    on_this_machine: bool,
}

impl Caller {
    /// The caller at the other end of a connection; `own` is the address of our end.
    pub(super) fn at(address: IpAddr, own: Option<IpAddr>) -> Self {
        // A socket that speaks both versions shows IPv4 callers as ::ffff:192.0.2.1.
        let address = address.to_canonical();
        // Nobody else can finish a handshake from our own address.
        let same = own.is_some_and(|own| own.to_canonical() == address);
        Self { address, on_this_machine: same || address.is_loopback() }
    }

    /// Whether the caller is on this very machine.
    pub(super) const fn is_on_this_machine(self) -> bool {
        self.on_this_machine
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "anonymous@{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_caller_on_an_ipv6_socket_is_shown_as_ipv4() {
        let caller = Caller::at("::ffff:192.0.2.1".parse().unwrap(), None);
        assert_eq!(caller.to_string(), "anonymous@192.0.2.1");
    }

    #[test]
    fn a_caller_from_loopback_or_our_own_address_is_on_this_machine() {
        for (address, own, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.2", "192.0.2.1", false),
            ("::ffff:192.0.2.2", "::ffff:192.0.2.1", false),
        ] {
            let caller = Caller::at(address.parse().unwrap(), own.parse().ok());
            assert_eq!(caller.is_on_this_machine(), expected, "{address}");
        }
        assert!(!Caller::at("192.0.2.2".parse().unwrap(), None).is_on_this_machine());
    }
}
