//! Who is asking.

use std::{fmt, net::IpAddr};

/// Who sent a request, as the log of a device names them.
///
/// Callers have no names yet, so that all that is known of them is their network address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller(IpAddr);

impl Caller {
    /// The caller at the other end of a connection.
    pub(super) fn at(address: IpAddr) -> Self {
        // A socket that speaks both versions shows IPv4 callers as ::ffff:192.0.2.1.
        Self(address.to_canonical())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "anonymous@{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_caller_on_an_ipv6_socket_is_shown_as_ipv4() {
        let caller = Caller::at("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(caller.to_string(), "anonymous@192.0.2.1");
    }
}
