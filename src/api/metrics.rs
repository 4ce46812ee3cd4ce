//! `/metrics`: the hub's figures in the Prometheus text format.
//!
//! # Layout
//!
//! - `text`: the format
//! - `process`: what the kernel knows of this process
//! - `rooms`: what the rooms below count
//! - `storage`: how the store is
//!
//! Names follow the conventions of Prometheus: the prefix `capteur_`, base units, `_total` on
//! counters. Labels are bounded: devices are labelled by MAC, and only the first
//! [`DEVICES_MAX`] of them. A name shows only in `capteur_device_info`, so that a rename breaks no
//! series.

mod process;
mod rooms;
mod storage;
mod text;

use self::text::{Kind, Text};
use super::{
    Api,
    health::DeviceCounts,
    problem::Problem,
    query::Query,
    reply,
    request::{self, Request},
    stream::STREAMS_MAX,
};
use crate::model::{Channel, Device, DeviceState};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{Method, StatusCode},
    reply::Response,
};

/// The most devices that are listed one by one.
const DEVICES_MAX: usize = 1000;

/// The text format 0.0.4 of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the API counts of itself.
#[derive(Debug, Default)]
pub(super) struct Figures {
    answers: Mutex<BTreeMap<u16, u64>>,
    snapshots: AtomicU64,
    connections: AtomicU64,
}

impl Figures {
    /// An answer goes out.
    pub(super) fn answered(&self, status: StatusCode) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry(status.as_u16()).or_default() += 1;
    }

    /// A snapshot goes out on an event stream.
    pub(super) fn snapshot_sent(&self) {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is accepted.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("metrics")
        .and(request::filter(api))
        .map(|request: Request| match request.method {
            Method::GET | Method::HEAD => show(&request).into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Shows the hub's figures, for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "showMetrics", tag = "monitoring", responses(
    (status = 200, description = "The figures, in the Prometheus text format 0.0.4", body = String, content_type = "text/plain"),
))]
pub(super) fn show(request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    Ok(reply::typed(CONTENT_TYPE, render(&request.api)))
}

/// Every room's figures, one function a room.
fn render(api: &Api) -> String {
    let mut text = Text::default();
    build(&mut text);
    process::write(&mut text);
    rooms::broker(&mut text, &api.context.broker.stats());
    rooms::registry(&mut text, &api.context.registry.stats());
    rooms::store(&mut text, &api.context.store.stats());
    storage::write(&mut text, &super::storage::gather(&api.context));
    let (listed, _) = api.context.registry.snapshot();
    devices(&mut text, &listed);
    stream(&mut text, api);
    http(&mut text, &api.figures);
    text.finish()
}

fn build(text: &mut Text) {
    text.family("capteur_build_info", Kind::Gauge, "What this hub is; always 1.")
        .labelled(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
}

fn devices(text: &mut Text, devices: &[Device]) {
    let counts = DeviceCounts::of(devices);
    let mut family =
        text.family("capteur_devices", Kind::Gauge, "Devices that the hub knows, by state.");
    for state in DeviceState::ALL {
        family.labelled(&[("state", state.as_str())], counts.get(state));
    }

    let listed = &devices[..devices.len().min(DEVICES_MAX)];
    let macs: Vec<String> = listed.iter().map(|device| device.mac.to_string()).collect();
    let each = || listed.iter().zip(&macs);
    let mut family =
        text.family("capteur_device_info", Kind::Gauge, "The name of a device; always 1.");
    for (device, mac) in each() {
        family.labelled(&[("device", mac), ("name", device.name.as_str())], 1_u64);
    }
    let mut family =
        text.family("capteur_device_online", Kind::Gauge, "Whether a device is online.");
    for (device, mac) in each() {
        family.labelled(&[("device", mac)], u64::from(device.state == DeviceState::Online));
    }
    let mut family = text.family(
        "capteur_device_last_seen_timestamp_seconds",
        Kind::Gauge,
        "When the hub last heard from a device.",
    );
    for (device, mac) in each() {
        family.labelled(&[("device", mac)], text::seconds(device.last_seen));
    }
    for (channel, name, help) in [
        (Channel::Led, "capteur_device_led_on", "Whether the LED of a device is on."),
        (Channel::Button, "capteur_device_button_pushed", "Whether the button is pushed."),
        (
            Channel::Photoresistor,
            "capteur_device_illuminance_ratio",
            "The light on the photoresistor, from 0 (dark) to 1 (bright).",
        ),
    ] {
        let full = if channel == Channel::Photoresistor { 100.0 } else { 1.0 };
        let mut family = text.family(name, Kind::Gauge, help);
        for (device, mac) in each() {
            if let Some(state) = device.channels.get(channel) {
                family.labelled(&[("device", mac)], f64::from(state.value) / full);
            }
        }
    }
}

fn stream(text: &mut Text, api: &Api) {
    text.family("capteur_events_total", Kind::Counter, "Events published on the live stream.")
        .value(api.context.events.cursor().sequence);
    text.family("capteur_sse_clients", Kind::Gauge, "Event streams that are open.")
        .value(STREAMS_MAX - api.streams.available_permits());
    text.family(
        "capteur_sse_snapshots_total",
        Kind::Counter,
        "Snapshots sent on event streams: new readers, and those that were too slow.",
    )
    .value(api.figures.snapshots.load(Ordering::Relaxed));
}

fn http(text: &mut Text, figures: &Figures) {
    text.family("capteur_http_connections_total", Kind::Counter, "HTTP connections accepted.")
        .value(figures.connections.load(Ordering::Relaxed));
    let mut family =
        text.family("capteur_http_responses_total", Kind::Counter, "HTTP answers, by status.");
    for (status, count) in &*figures.answers.lock().unwrap_or_else(PoisonError::into_inner) {
        family.labelled(&[("code", &status.to_string())], *count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channels, Timestamp};
    use capteur_protocol::Mac;

    #[test]
    fn devices_are_counted_by_state_and_labelled_by_mac() {
        let mut channels = Channels::default();
        channels.update(Channel::Photoresistor, 58, Timestamp::from_millis(1500));
        let device = Device {
            mac: Mac([0x61, 0xec, 0xed, 0x3b, 0x25, 0xb1]),
            name: "a \"b\" \\c".parse().unwrap(),
            state: DeviceState::Online,
            first_seen: Timestamp::from_millis(0),
            last_seen: Timestamp::from_millis(1500),
            joined_at: None,
            left_at: None,
            channels,
            info: None,
            replaced: None,
        };
        let mut text = Text::default();
        devices(&mut text, &[device]);
        let text = text.finish();
        for line in [
            "capteur_devices{state=\"online\"} 1",
            "capteur_devices{state=\"offline\"} 0",
            "capteur_device_info{device=\"61:EC:ED:3B:25:B1\",name=\"a \\\"b\\\" \\\\c\"} 1",
            "capteur_device_last_seen_timestamp_seconds{device=\"61:EC:ED:3B:25:B1\"} 1.5",
            "capteur_device_illuminance_ratio{device=\"61:EC:ED:3B:25:B1\"} 0.58",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("led_on{"), "a channel without a reading has no sample");
    }
}
