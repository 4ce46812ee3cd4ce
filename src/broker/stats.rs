//! What the broker counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the broker has counted since it started, at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The counters behind [`Stats`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// All counters now; gauges are filled in by whoever holds what they measure.
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.get(),)* }
            }
        }
    };
}

stats! {
    /// Clients connected now.
    connections,
    /// Sessions kept now, of connected and of absent clients.
    sessions,
    /// Messages retained now.
    retained,
    /// Clients let in so far.
    connections_total,
    /// Sockets closed without an answer, since too many were open.
    refused_sockets,
    /// CONNECTs refused since `max_connections` clients were connected.
    refused_full,
    /// CONNECTs refused for who sent them or for their will.
    refused_not_authorized,
    /// CONNECTs refused for an unsupported protocol level.
    refused_version,
    /// CONNECTs refused for an invalid client id, or malformed, or not CONNECTs at all.
    refused_malformed,
    /// Sockets that sent no CONNECT in time.
    refused_timeout,
    /// Connections closed since the client broke the protocol.
    violations,
    /// Connections closed since nothing came in for one and a half keep-alives.
    keep_alive_timeouts,
    /// Connections closed since the client took nothing for the write time-out.
    write_timeouts,
    /// Connections closed since another one came with the same client id.
    take_overs,
    /// Connections of 3.1.1 closed since there was no room to store what they published.
    closed_without_room,
    /// Messages published at QoS 0 by clients.
    received_qos0,
    /// Messages published at QoS 1 by clients.
    received_qos1,
    /// Messages published at QoS 2 by clients, without repetitions.
    received_qos2,
    /// Messages delivered to clients at QoS 0.
    sent_qos0,
    /// Messages delivered to clients at QoS 1, without repetitions.
    sent_qos1,
    /// Messages delivered to clients at QoS 2, without repetitions.
    sent_qos2,
    /// Wills published.
    wills,
    /// Leaves published on behalf of devices whose connection ended without one.
    implied_leaves,
    /// Messages dropped since the publisher may not publish there.
    dropped_not_authorized,
    /// Messages dropped since too many waited for the client.
    dropped_queue_full,
    /// Messages dropped since they expired before they could be delivered.
    dropped_expired,
    /// Messages dropped since they are larger than the client takes.
    dropped_too_large,
    /// Messages to one device dropped since no connection has that address.
    dropped_no_addressee,
    /// Messages not retained since `max_retained` were.
    dropped_retained_full,
    /// Messages lost in the router's log; anything but 0 is a defect.
    lost_in_log,
    /// Bytes received from clients.
    bytes_received,
    /// Bytes sent to clients.
    bytes_sent,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    pub(crate) fn received(&self, qos: u8) -> &Counter {
        match qos {
            0 => &self.received_qos0,
            1 => &self.received_qos1,
            _ => &self.received_qos2,
        }
    }

    pub(crate) fn sent(&self, qos: u8) -> &Counter {
        match qos {
            0 => &self.sent_qos0,
            1 => &self.sent_qos1,
            _ => &self.sent_qos2,
        }
    }
}
