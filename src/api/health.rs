//! `/api/v1/health`: whether the hub does its work.

use super::{
    Api,
    query::Query,
    reply,
    request::{self, Request},
    storage,
};
use crate::model::{Device, DeviceState, Storage};
use serde::Serialize;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{Method, StatusCode},
    reply::Response,
};

/// How long a room has to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the result of the last probes holds: anybody may ask, and a probe of the store is a
/// write to the medium.
const PROBE_VALID: Duration = Duration::from_secs(1);

/// Whether the hub, or a part of it, does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// It does.
    Ok,
    /// It does not.
    Failing,
}

/// Whether a part of the hub does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Part {
    status: Status,
    /// What is wrong, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

/// How many devices are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(super) struct DeviceCounts {
    pending: usize,
    joining: usize,
    online: usize,
    offline: usize,
}

impl DeviceCounts {
    pub(super) fn of(devices: &[Device]) -> Self {
        let mut counts = Self::default();
        for device in devices {
            match device.state {
                DeviceState::Pending => counts.pending += 1,
                DeviceState::Joining => counts.joining += 1,
                DeviceState::Online => counts.online += 1,
                DeviceState::Offline => counts.offline += 1,
            }
        }
        counts
    }

    pub(super) fn get(self, state: DeviceState) -> usize {
        match state {
            DeviceState::Pending => self.pending,
            DeviceState::Joining => self.joining,
            DeviceState::Online => self.online,
            DeviceState::Offline => self.offline,
        }
    }
}

/// Whether the hub does its work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` where broker, registry and store are.
    status: Status,
    version: &'static str,
    /// How long the hub has been running, in seconds.
    uptime_s: u64,
    /// The MQTT server: a message went through it and came back.
    broker: Part,
    /// The session logic: its task answers.
    registry: Part,
    /// The store: a write reached the medium, and readings are recorded.
    store: Part,
    /// The TCP port that boards connect to, for the page to tell people.
    mqtt_port: u16,
    /// How many devices are in each state.
    devices: DeviceCounts,
    /// What is kept, how much room there is, and what the card has been through.
    storage: Storage,
}

/// What the last probes found; asked one at a time.
#[derive(Default)]
pub(super) struct Probes(Mutex<Option<(Instant, Parts)>>);

#[derive(Clone)]
struct Parts {
    broker: Part,
    registry: Part,
    store: Part,
}

impl Parts {
    async fn probe(api: &Api) -> Self {
        let context = &api.context;
        let (broker, registry, store) = tokio::join!(
            part(PROBE_TIMEOUT, context.broker.probe()),
            part(PROBE_TIMEOUT, context.registry.probe()),
            part(PROBE_TIMEOUT, context.store.flush()),
        );
        Self { broker, registry, store }
    }

    /// A store that works and does not record does not do its work.
    fn observe(&mut self, storage: &Storage) {
        if !storage.recording && self.store.status == Status::Ok {
            let needed = storage.needed_bytes.unwrap_or_default() / 1_000_000;
            let detail = format!(
                "the disk is nearly full: readings are not recorded until {needed} MB are free"
            );
            self.store = Part { status: Status::Failing, detail: Some(detail) };
        }
    }

    fn status(&self) -> Status {
        let parts = [&self.broker, &self.registry, &self.store];
        if parts.iter().all(|part| part.status == Status::Ok) {
            Status::Ok
        } else {
            Status::Failing
        }
    }
}

async fn part<E: fmt::Display>(
    within: Duration,
    probe: impl Future<Output = Result<(), E>>,
) -> Part {
    let detail = match timeout(within, probe).await {
        Ok(Ok(())) => return Part { status: Status::Ok, detail: None },
        Ok(Err(error)) => {
            // Anybody may ask for the health, and an error may name files.
            tracing::warn!(%error, "a probe failed");
            "it failed; the hub's log says why".to_owned()
        }
        Err(_) => format!("no answer within {within:?}"),
    };
    Part { status: Status::Failing, detail: Some(detail) }
}

impl Probes {
    async fn parts(&self, api: &Api) -> Parts {
        let mut last = self.0.lock().await;
        if let Some((at, parts)) = &*last
            && at.elapsed() < PROBE_VALID
        {
            return parts.clone();
        }
        let parts = Parts::probe(api).await;
        *last = Some((Instant::now(), parts.clone()));
        parts
    }
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "health")
        .and(request::filter(api))
        .then(async |request: Request| match request.method {
            Method::GET | Method::HEAD => show(&request).await,
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Shows whether the hub does its work.
#[utoipa::path(get, path = "/api/v1/health", operation_id = "showHealth", tag = "monitoring", responses(
    (status = 200, description = "Broker, registry and store work; readings are recorded", body = Health),
    (status = 503, description = "One of them doesn't", body = Health),
))]
pub(super) async fn show(request: &Request) -> Response {
    if let Err(problem) = Query::parse(&request.query).and_then(Query::finish) {
        return problem.into_response();
    }
    let api = &request.api;
    let mut parts = api.probes.parts(api).await;
    let storage = storage::gather(&api.context);
    parts.observe(&storage);
    let (devices, _) = api.context.registry.snapshot();
    let status = parts.status();
    let code = match status {
        Status::Ok => StatusCode::OK,
        Status::Failing => StatusCode::SERVICE_UNAVAILABLE,
    };
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: api.started.elapsed().as_secs(),
        broker: parts.broker,
        registry: parts.registry,
        store: parts.store,
        mqtt_port: api.context.mqtt_port,
        devices: DeviceCounts::of(&devices),
        storage,
    };
    reply::json(code, &health)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future;

    #[tokio::test]
    async fn a_part_works_only_where_it_answers_in_time() {
        let ok = part(PROBE_TIMEOUT, future::ready(Ok::<(), String>(()))).await;
        assert_eq!(ok, Part { status: Status::Ok, detail: None });
        let failed = part(PROBE_TIMEOUT, future::ready(Err::<(), _>("the disk is gone"))).await;
        assert_eq!(failed.status, Status::Failing);
        assert!(!failed.detail.unwrap().contains("disk"), "what failed is for the log only");
        let silent = part(Duration::from_millis(1), future::pending::<Result<(), String>>()).await;
        assert_eq!(silent.status, Status::Failing);
    }

    #[test]
    fn one_failing_part_fails_the_whole() {
        let ok = Part { status: Status::Ok, detail: None };
        let failing = Part { status: Status::Failing, detail: Some("x".into()) };
        let mut parts = Parts { broker: ok.clone(), registry: ok.clone(), store: ok };
        assert_eq!(parts.status(), Status::Ok);
        parts.registry = failing;
        assert_eq!(parts.status(), Status::Failing);
    }

    #[test]
    fn a_store_that_does_not_record_fails() {
        let ok = Part { status: Status::Ok, detail: None };
        let mut parts = Parts { broker: ok.clone(), registry: ok.clone(), store: ok };
        let mut storage = Storage { recording: true, time_uncertain: true, ..Storage::default() };
        parts.observe(&storage);
        assert_eq!(parts.status(), Status::Ok);
        storage.recording = false;
        storage.needed_bytes = Some(281_600_000);
        parts.observe(&storage);
        assert_eq!(parts.status(), Status::Failing);
        assert!(parts.store.detail.unwrap().contains("until 281 MB are free"));
    }
}
