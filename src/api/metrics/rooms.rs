//! What the rooms below count.

use super::text::{Kind, Text};
use crate::{broker, registry, store};

/// The MQTT server.
pub(super) fn broker(text: &mut Text, stats: &broker::Stats) {
    for (name, help, value) in [
        ("capteur_mqtt_connections", "MQTT clients that are connected.", stats.connections),
        (
            "capteur_mqtt_sessions",
            "MQTT sessions, of connected and absent clients.",
            stats.sessions,
        ),
        ("capteur_mqtt_retained_messages", "Messages that are retained.", stats.retained),
    ] {
        text.family(name, Kind::Gauge, help).value(value);
    }
    for (name, help, value) in [
        ("capteur_mqtt_connections_total", "MQTT clients let in.", stats.connections_total),
        ("capteur_mqtt_wills_total", "Wills published.", stats.wills),
        (
            "capteur_mqtt_implied_leaves_total",
            "Leaves published for devices whose connection ended without one.",
            stats.implied_leaves,
        ),
        (
            "capteur_mqtt_messages_lost_total",
            "Messages lost in the router's log; anything but 0 is a defect.",
            stats.lost_in_log,
        ),
    ] {
        text.family(name, Kind::Counter, help).value(value);
    }
    counters(
        text,
        "capteur_mqtt_connections_refused_total",
        "MQTT connections that were not let in, by reason.",
        &[
            (&[("reason", "sockets")], stats.refused_sockets),
            (&[("reason", "full")], stats.refused_full),
            (&[("reason", "not_authorized")], stats.refused_not_authorized),
            (&[("reason", "version")], stats.refused_version),
            (&[("reason", "malformed")], stats.refused_malformed),
            (&[("reason", "timeout")], stats.refused_timeout),
        ],
    );
    counters(
        text,
        "capteur_mqtt_connections_cut_total",
        "MQTT connections that the hub closed, by reason.",
        &[
            (&[("reason", "violation")], stats.violations),
            (&[("reason", "keep_alive")], stats.keep_alive_timeouts),
            (&[("reason", "write_timeout")], stats.write_timeouts),
            (&[("reason", "take_over")], stats.take_overs),
            (&[("reason", "no_room")], stats.closed_without_room),
        ],
    );
    counters(
        text,
        "capteur_mqtt_messages_total",
        "Messages between clients and hub, without repetitions, by direction and QoS.",
        &[
            (&[("direction", "in"), ("qos", "0")], stats.received_qos0),
            (&[("direction", "in"), ("qos", "1")], stats.received_qos1),
            (&[("direction", "in"), ("qos", "2")], stats.received_qos2),
            (&[("direction", "out"), ("qos", "0")], stats.sent_qos0),
            (&[("direction", "out"), ("qos", "1")], stats.sent_qos1),
            (&[("direction", "out"), ("qos", "2")], stats.sent_qos2),
        ],
    );
    counters(
        text,
        "capteur_mqtt_messages_dropped_total",
        "Messages that were not delivered or not retained, by reason.",
        &[
            (&[("reason", "not_authorized")], stats.dropped_not_authorized),
            (&[("reason", "queue_full")], stats.dropped_queue_full),
            (&[("reason", "expired")], stats.dropped_expired),
            (&[("reason", "too_large")], stats.dropped_too_large),
            (&[("reason", "no_addressee")], stats.dropped_no_addressee),
            (&[("reason", "retained_full")], stats.dropped_retained_full),
        ],
    );
    counters(
        text,
        "capteur_mqtt_bytes_total",
        "Bytes between clients and hub, by direction.",
        &[
            (&[("direction", "in")], stats.bytes_received),
            (&[("direction", "out")], stats.bytes_sent),
        ],
    );
}

/// The session logic and the commands.
pub(super) fn registry(text: &mut Text, stats: &registry::Stats) {
    let mut family = text.family(
        "capteur_messages_accepted_total",
        Kind::Counter,
        "Messages of devices that were taken, by topic.",
    );
    for (topic, count) in &stats.accepted {
        family.labelled(&[("topic", topic)], *count);
    }
    let mut family = text.family(
        "capteur_messages_rejected_total",
        Kind::Counter,
        "Messages of devices that were discarded or malformed, by reason.",
    );
    for (kind, counts) in [("discarded", &stats.discarded), ("malformed", &stats.malformed)] {
        for (reason, count) in counts {
            family.labelled(&[("kind", kind), ("reason", reason)], *count);
        }
    }
    for (name, help, value) in [
        ("capteur_sessions_opened_total", "Sessions opened for a MAC.", stats.sessions_opened),
        ("capteur_joins_total", "How often a device came online.", stats.joins),
        ("capteur_leaves_total", "How often a device that was online went.", stats.leaves),
        ("capteur_commands_issued_total", "Commands that were given.", stats.commands_issued),
        (
            "capteur_readings_not_recorded_total",
            "Readings that were taken and not recorded, since the disk is nearly full.",
            stats.not_recorded,
        ),
    ] {
        text.family(name, Kind::Counter, help).value(value);
    }
    counters(
        text,
        "capteur_commands_total",
        "Commands that came to their end, by outcome.",
        &[
            (&[("outcome", "confirmed")], stats.commands_confirmed),
            (&[("outcome", "timed_out")], stats.commands_timed_out),
            (&[("outcome", "superseded")], stats.commands_superseded),
        ],
    );
    let latency = &stats.confirm_latency;
    text.histogram(
        "capteur_command_duration_seconds",
        "How long devices took to confirm a command.",
        registry::stats::LATENCY_BOUNDS_MS.into_iter().zip(latency.buckets),
        latency.count,
        latency.sum,
    );
}

/// The store, and what it depends on.
pub(super) fn store(text: &mut Text, stats: &store::Stats) {
    for (name, help, value) in [
        ("capteur_store_commits_total", "Commits that reached the medium.", stats.commits),
        (
            "capteur_store_committed_readings_total",
            "Readings that reached the medium.",
            stats.committed_readings,
        ),
        (
            "capteur_store_frame_bytes_total",
            "Bytes of the frames that readings took.",
            stats.frame_bytes,
        ),
        ("capteur_store_write_errors_total", "Commits that failed.", stats.write_errors),
        (
            "capteur_store_retired_readings_total",
            "Readings that were deleted for their age, or for want of room.",
            stats.retired_readings,
        ),
        (
            "capteur_store_corrupt_values_total",
            "Values that were found damaged.",
            stats.corrupt_values,
        ),
    ] {
        text.family(name, Kind::Counter, help).value(value);
    }
    text.family("capteur_store_commit_seconds_total", Kind::Counter, "Time that all commits took.")
        .value(stats.commit_seconds_sum);
    for (name, help, value) in [
        (
            "capteur_store_last_commit_seconds",
            "How long the last commit took.",
            stats.commit_seconds_last,
        ),
        (
            "capteur_store_longest_commit_seconds",
            "How long the longest commit took.",
            stats.commit_seconds_max,
        ),
    ] {
        text.family(name, Kind::Gauge, help).value(value);
    }
    for (name, help, value) in [
        ("capteur_store_queued_changes", "Changes that wait for their commit.", stats.queued),
        ("capteur_store_readings", "Readings that the store holds.", stats.stored_readings),
        (
            "capteur_store_unsealed_readings",
            "Readings that are in memory and in write-ahead frames only.",
            stats.unsealed_readings,
        ),
        ("capteur_store_healthy", "Whether the store takes changes.", u64::from(stats.healthy)),
    ] {
        text.family(name, Kind::Gauge, help).value(value);
    }
}

/// A family of counters with fixed labels.
fn counters(text: &mut Text, name: &'static str, help: &str, samples: &[(&[(&str, &str)], u64)]) {
    let mut family = text.family(name, Kind::Counter, help);
    for (labels, value) in samples {
        family.labelled(labels, *value);
    }
}
