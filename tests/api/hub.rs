//! A hub on loopback addresses, and calls of its API.

use crate::reader::Reader;
use capteur::{
    config::Settings,
    hub::{self, HubError, Listeners, Platform},
    model::{Clock, Timestamp},
    supervisor::Supervisor,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

/// Longer than anything takes, however busy the machine is.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// When every hub begins.
pub(crate) const START_MS: i64 = 1_763_800_000_000;

/// The time of day, which moves only when it is told to.
#[derive(Debug)]
pub(crate) struct Hands {
    millis: AtomicI64,
    /// Whether it is only a guess.
    pub(crate) uncertain: AtomicBool,
}

impl Hands {
    pub(crate) fn advance(&self, millis: i64) {
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn certain(&self) -> bool {
        !self.uncertain.load(Ordering::SeqCst)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

pub(crate) struct Hub {
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) clock: Arc<Hands>,
    client: Client,
    folder: TempDir,
    confirm_timeout: Duration,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), HubError>>,
}

impl Hub {
    /// A hub on an empty store, whose commands wait longer than any test.
    pub(crate) fn start() -> Self {
        Self::start_with(Duration::from_mins(10))
    }

    /// A hub on an empty store.
    pub(crate) fn start_with(confirm_timeout: Duration) -> Self {
        let clock =
            Arc::new(Hands { millis: AtomicI64::new(START_MS), uncertain: AtomicBool::new(false) });
        Self::run(tempfile::tempdir().unwrap(), clock, confirm_timeout)
    }

    /// A hub on the store in `folder`.
    pub(crate) fn start_on(folder: TempDir) -> Self {
        let clock =
            Arc::new(Hands { millis: AtomicI64::new(START_MS), uncertain: AtomicBool::new(false) });
        Self::run(folder, clock, Duration::from_mins(10))
    }

    /// Stops the hub, and starts another on its store.
    pub(crate) async fn restart(self) -> Self {
        let Self { clock, folder, confirm_timeout, stop, task, .. } = self;
        stop.send(()).unwrap();
        timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
        Self::run(folder, clock, confirm_timeout)
    }

    fn run(folder: TempDir, clock: Arc<Hands>, confirm_timeout: Duration) -> Self {
        let mut settings = Settings::load(Some(Path::new("/dev/null")), []).unwrap();
        settings.mqtt.listen = "127.0.0.1:0".parse().unwrap();
        settings.http.listen = "127.0.0.1:0".parse().unwrap();
        settings.store.path = folder.path().join("store");
        settings.commands.confirm_timeout_ms = confirm_timeout.as_millis().try_into().unwrap();
        let listeners = Listeners::bind(&settings).unwrap();
        // What is accepted here inherits this: a reader that takes nothing is felt soon.
        socket2::SockRef::from(&listeners.http).set_send_buffer_size(16 * 1024).unwrap();
        let addresses = listeners.addresses().unwrap();
        let mut number = 0;
        let platform = Platform {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Box::new(move || {
                number += 1;
                number
            }),
            supervisor: Supervisor::from_environment(),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hub::run(settings, listeners, platform, async {
            let _ = stopped.await;
        }));
        let (mqtt, http) = (addresses.mqtt, addresses.http);
        Self { mqtt, http, clock, client: Client::new(), folder, confirm_timeout, stop, task }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.http)).timeout(DEADLINE)
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The JSON that is answered to a call that has to succeed.
    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.error_for_status().unwrap().json().await.unwrap()
    }

    pub(crate) async fn device(&self, key: &str) -> Value {
        self.json(&format!("/api/v1/devices/{key}")).await
    }

    pub(crate) async fn rename(&self, key: &str, name: &str) -> Response {
        let body = serde_json::json!({ "name": name });
        self.send(Method::PATCH, &format!("/api/v1/devices/{key}"), &body).await
    }

    /// Follows the event stream, from behind `last` where that is given.
    pub(crate) async fn follow(&self, last: Option<&str>) -> Reader {
        // Without the deadline for the whole answer, which has no end.
        let mut request = self.client.get(format!("http://{}/api/v1/events", self.http));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Reader::new(request.send().await.unwrap().error_for_status().unwrap())
    }

    /// Waits until a device is in this state.
    pub(crate) async fn until(&self, key: &str, state: &str) {
        timeout(DEADLINE, async {
            while self.device(key).await["state"] != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}
