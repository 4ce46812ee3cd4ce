//! The API over real connections.

use super::{
    Api, Context, caller::Caller, export::EXPORTS_MAX, routes, serve, stream::STREAMS_MAX,
};
use crate::{
    broker::Broker,
    config::{self, Settings},
    events::Events,
    model::{Clock, DeviceId, Event, LogEntry, LogKind, SystemClock, Timestamp},
    nightly::LastBackup,
    registry,
    store::{self, Change, Store, Urgency},
};
use bytes::BytesMut;
use capteur_protocol::Mac;
use futures_util::StreamExt;
use hyper_util::service::TowerToHyperService;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::{
    future::{pending, poll_fn},
    net::SocketAddr,
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use warp::{
    http::Request,
    hyper::{body::Body, service::Service},
};

/// Long enough for the slowest machine; what is waited for ends the wait.
const LONG: Duration = Duration::from_mins(1);

/// The body of an answer, as text.
pub(super) async fn text(response: warp::reply::Response) -> String {
    let mut body = pin!(response.into_body());
    let mut text = BytesMut::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(data) = frame.unwrap().into_data() {
            text.extend_from_slice(&data);
        }
    }
    String::from_utf8(text.to_vec()).unwrap()
}

/// The rooms below, with no device in them.
fn context(events: Events, folder: &Path) -> Context {
    let settings = Settings::load(Some(Path::new("/dev/null")), []).unwrap();
    let options =
        store::Options { commit_interval: Duration::from_millis(10), ..store::Options::default() };
    let (store, contents) = Store::open(&folder.join("store"), &options).unwrap();
    let (broker, link) = Broker::start(&settings.mqtt).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = registry::Parts {
        contents,
        link,
        client: broker.client(),
        store: store.clone(),
        events: events.clone(),
        devices: settings.devices,
        anonymous: settings.mqtt.anonymous,
        keyed: false,
        commands: settings.commands,
        clock: Arc::clone(&clock),
        entropy: Box::new(|| 7),
    };
    let (registry, task) = registry::start(parts, pending());
    tokio::spawn(task);
    let (_, backups) = tokio::sync::watch::channel(LastBackup::default());
    let settings = config::Http { hosts: vec!["hub.example".to_owned()], ..settings.http };
    Context {
        registry,
        store,
        events,
        broker,
        clock,
        backups,
        recovery: None,
        settings,
        mqtt_port: 1883,
    }
}

struct Hub {
    address: SocketAddr,
    client: Client,
    events: Events,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl Hub {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let events = Events::new(0, 64);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let folder = tempfile::tempdir().unwrap();
        let context = context(events.clone(), folder.path());
        let task = tokio::spawn(serve(listener, context, shutdown));
        Self { address, client: Client::new(), events, stop: Some(stop), task, _folder: folder }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).timeout(LONG)
    }

    async fn send(&self, method: Method, path: &str) -> reqwest::Response {
        self.request(method, path).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.send(Method::GET, path).await
    }

    /// What the hub answers to these very bytes, until it closes the connection.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

async fn assert_problem(response: reqwest::Response, status: u16, kind: &str) -> Value {
    assert_eq!(response.status(), status, "{}", response.url());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], format!("/problems/{kind}"));
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

#[tokio::test]
async fn the_list_of_devices_is_json_that_nobody_caches() {
    let hub = Hub::start().await;
    let response = hub.get("/api/v1/devices").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let devices: Value = response.json().await.unwrap();
    assert!(devices["devices"].is_array());
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_that_says_what_is_missing() {
    let hub = Hub::start().await;
    for (path, kind) in [
        ("/api/v1/nothing", "not-found"),
        ("/api/v1/devices//", "not-found"),
        ("/api/v1", "not-found"),
        ("/nothing.js", "not-found"),
        ("/api/v1/devices/%ff", "not-found"),
        ("/api/v1/devices/nobody", "unknown-device"),
        ("/api/v1/devices/61:EC:ED:3B:25:B1", "unknown-device"),
        ("/api/v1/devices/nobody/log", "unknown-device"),
        ("/api/v1/export?device=nobody", "unknown-device"),
        ("/api/v1/devices/nobody/readings/led", "unknown-device"),
        ("/api/v1/devices/nobody/readings/sound", "unknown-channel"),
        ("/api/v1/commands/1-42", "unknown-command"),
        ("/api/v1/commands/x", "unknown-command"),
        ("/problems/nonsense", "not-found"),
    ] {
        assert_problem(hub.get(path).await, 404, kind).await;
    }
    let delete = hub.send(Method::DELETE, "/api/v1/devices/nobody").await;
    assert_problem(delete, 404, "unknown-device").await;
    let replace = "/api/v1/devices/nobody/replace";
    assert_problem(hub.send(Method::DELETE, replace).await, 404, "unknown-device").await;
    let replace = hub.request(Method::POST, replace).body("{\"mac\":\"61:EC:ED:3B:25:B2\"}");
    assert_problem(replace.send().await.unwrap(), 404, "unknown-device").await;
    let led = hub.request(Method::PUT, "/api/v1/devices/nobody/led").body("{\"on\":true}");
    assert_problem(led.send().await.unwrap(), 404, "unknown-device").await;
}

#[tokio::test]
async fn every_resource_says_which_methods_it_knows() {
    let hub = Hub::start().await;
    for (path, allow) in [
        ("/api/v1/devices", "GET, HEAD, OPTIONS"),
        ("/api/v1/devices/a", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("/api/v1/devices/a/replace", "POST, DELETE, OPTIONS"),
        ("/api/v1/devices/a/led", "PUT, OPTIONS"),
        ("/api/v1/devices/a/log", "GET, HEAD, OPTIONS"),
        ("/api/v1/devices/a/readings/led", "GET, HEAD, OPTIONS"),
        ("/api/v1/commands/1-1", "GET, HEAD, OPTIONS"),
        ("/api/v1/export", "GET, HEAD, OPTIONS"),
        ("/api/v1/backup", "GET, HEAD, OPTIONS"),
        ("/api/v1/events", "GET, HEAD, OPTIONS"),
        ("/api/v1/health", "GET, HEAD, OPTIONS"),
        ("/api/v1/openapi.json", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/problems/busy", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ] {
        let refused = hub.send(Method::TRACE, path).await;
        assert_eq!(refused.headers()["allow"], allow, "{path}");
        assert_problem(refused, 405, "method-not-allowed").await;
        let options = hub.send(Method::OPTIONS, path).await;
        assert_eq!(options.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(options.headers()["allow"], allow, "{path}");
    }
}

#[tokio::test]
async fn head_answers_the_headers_of_get_without_a_body() {
    let hub = Hub::start().await;
    for path in ["/", "/api/v1/devices", "/api/v1/openapi.json", "/api/v1/devices/nobody"] {
        let (get, head) = (hub.get(path).await, hub.send(Method::HEAD, path).await);
        assert_eq!(get.status(), head.status(), "{path}");
        for name in ["content-type", "cache-control", "content-length"] {
            assert_eq!(get.headers().get(name), head.headers().get(name), "{path} {name}");
        }
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    for path in ["/api/v1/export", "/api/v1/backup"] {
        let (get, head) = (hub.get(path).await, hub.send(Method::HEAD, path).await);
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert_eq!(get.headers()["content-type"], head.headers()["content-type"], "{path}");
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    let events = hub.send(Method::HEAD, "/api/v1/events").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert!(events.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn wrong_bodies_and_parameters_are_refused_by_name() {
    let hub = Hub::start().await;
    let put = |body: &'static str| hub.request(Method::PUT, "/api/v1/devices/a/led").body(body);
    let patch = |body: &'static str| hub.request(Method::PATCH, "/api/v1/devices/a").body(body);
    let post =
        |body: &'static str| hub.request(Method::POST, "/api/v1/devices/a/replace").body(body);
    for (request, status, kind, named) in [
        (post("{}"), 400, "bad-request", "#/mac"),
        (post("{\"mac\":5}"), 400, "bad-request", "#/mac"),
        (post("{\"mac\":\"capteur02\"}"), 422, "invalid-mac", "#/mac"),
        (post("{\"mac\":\"61-EC-ED-3B-25-B2\"}"), 422, "invalid-mac", "#/mac"),
        (put("{\"on\":true,\"of\":1}"), 400, "bad-request", "#/of"),
        (put("{\"on\":\"yes\"}"), 400, "bad-request", "#/on"),
        (put("{}"), 400, "bad-request", "#/on"),
        (patch("{\"name\":5}"), 400, "bad-request", "#/name"),
        (patch("{\"name\":\"a;b\"}"), 422, "invalid-name", "#/name"),
        (patch("{\"name\":\"\"}"), 422, "invalid-name", "#/name"),
    ] {
        let problem = assert_problem(request.send().await.unwrap(), status, kind).await;
        assert_eq!(problem["errors"][0]["pointer"], named);
    }
    let broken = put("{").send().await.unwrap();
    assert_problem(broken, 400, "bad-request").await;
    let form = put("on=true").header("content-type", "application/x-www-form-urlencoded");
    assert_problem(form.send().await.unwrap(), 415, "unsupported-media-type").await;
    let large = hub.request(Method::PATCH, "/api/v1/devices/a").body(vec![b' '; 20_000]);
    assert_problem(large.send().await.unwrap(), 413, "payload-too-large").await;
    for (path, named) in [
        ("/api/v1/devices?x=1", "x"),
        ("/api/v1/health?x=1", "x"),
        ("/api/v1/events?x=1", "x"),
        ("/api/v1/backup?x=1", "x"),
        ("/api/v1/export?limit=1", "limit"),
        ("/api/v1/export?channel=sound", "channel"),
        ("/api/v1/devices/a/readings/led?limit=0", "limit"),
        ("/api/v1/devices/a/readings/led?resolution=1d", "resolution"),
        ("/api/v1/devices/a/log?before=yesterday", "before"),
    ] {
        let problem = assert_problem(hub.get(path).await, 400, "bad-request").await;
        assert_eq!(problem["errors"][0]["parameter"], named);
    }
}

/// The API without connections; its second part is to live as long.
fn bare_api(folder: &TempDir) -> (Arc<Api>, watch::Sender<bool>) {
    let (stop, stopping) = watch::channel(false);
    (Api::new(context(Events::new(0, 4), folder.path()), stopping), stop)
}

async fn answer(api: &Arc<Api>, path: &str, caller: Caller) -> warp::reply::Response {
    let request = Request::get(path).header("host", "192.0.2.1").extension(caller);
    let service = TowerToHyperService::new(warp::service(routes(api)));
    let Ok(response) = service.call(request.body(String::new()).unwrap()).await;
    response
}

#[tokio::test]
async fn a_backup_is_given_to_callers_on_the_same_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    let (api, _stop) = bare_api(&folder);
    for (address, status) in [("192.0.2.7", 403), ("192.0.2.1", 200), ("127.0.0.1", 200)] {
        let caller = Caller::at(address.parse().unwrap(), "192.0.2.1".parse().ok());
        let response = answer(&api, "/api/v1/backup", caller).await;
        assert_eq!(response.status(), status, "{address}");
        let mut body = pin!(response.into_body());
        while poll_fn(|context| body.as_mut().poll_frame(context)).await.is_some() {}
    }
}

#[tokio::test]
async fn exports_are_limited_and_a_second_backup_waits_for_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (api, _stop) = bare_api(&folder);
    let caller = Caller::at("127.0.0.1".parse().unwrap(), None);
    let status = async |path: &str| answer(&api, path, caller).await.status();
    let places = u32::try_from(EXPORTS_MAX).unwrap();
    let places = api.exports.acquire_many(places).await.unwrap();
    let refused = answer(&api, "/api/v1/export", caller).await;
    assert_eq!(refused.status(), 503);
    assert!(text(refused).await.contains("too-many-exports"));
    drop(places);
    assert_eq!(status("/api/v1/export").await, 200);

    // Larger than what is made ahead of whoever takes it.
    let store = &api.context.store;
    let line = |at| {
        let [from, to] = ["a", "b"].map(|name| name.parse().unwrap());
        let kind = LogKind::Renamed { from, to, by: "x".repeat(1000) };
        Change::Log(DeviceId(1), LogEntry { at: Timestamp::from_millis(at), kind })
    };
    store.submit((0..1000).map(line).collect(), Urgency::Now, None).await.unwrap();
    let first = answer(&api, "/api/v1/backup", caller).await;
    assert_eq!(first.status(), 200);
    let second = answer(&api, "/api/v1/backup", caller).await;
    assert_eq!(second.headers()["retry-after"], "60");
    assert!(text(second).await.contains("backup-running"));
    drop(first);
    let free = async { while status("/api/v1/backup").await != 200 {} };
    timeout(LONG, free).await.expect("the first still goes on");
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_everywhere() {
    let hub = Hub::start().await;
    for path in ["/", "/api/v1/devices", "/metrics", "/nothing"] {
        let foreign = hub.request(Method::GET, path).header("host", "evil.example");
        assert_problem(foreign.send().await.unwrap(), 421, "misdirected-request").await;
    }
    let ours = hub.request(Method::GET, "/").header("host", "hub.example:8080");
    assert_eq!(ours.send().await.unwrap().status(), StatusCode::OK);

    let origin = |origin: String| {
        hub.request(Method::PUT, "/api/v1/devices/nobody/led")
            .header("origin", origin)
            .body("{\"on\":true}")
    };
    let foreign = origin("http://evil.example".to_owned()).send().await.unwrap();
    assert_problem(foreign, 403, "foreign-origin").await;
    let own = origin(format!("http://{}", hub.address)).send().await.unwrap();
    assert_problem(own, 404, "unknown-device").await;
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused() {
    let hub = Hub::start().await;
    for hosts in ["", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n", "Host: a b\r\n"] {
        let request = format!("GET /api/v1/devices HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = hub.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("/problems/bad-host"), "{answer}");
    }
    let absolute =
        "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = hub.raw(absolute).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    let disguised =
        "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let answer = hub.raw(disguised).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_problem_is_explained_where_its_type_points() {
    let hub = Hub::start().await;
    let problem = assert_problem(hub.get("/nothing").await, 404, "not-found").await;
    let explained = hub.get(problem["type"].as_str().unwrap()).await;
    assert_eq!(explained.status(), StatusCode::OK);
    assert!(explained.text().await.unwrap().contains("openapi.json"));
}

#[tokio::test]
async fn health_shows_every_part_and_fails_with_any_of_them() {
    let hub = Hub::start().await;
    let response = hub.get("/api/v1/health").await;
    let status = response.status();
    let health: Value = response.json().await.unwrap();
    let parts = ["broker", "registry", "store"].map(|part| health[part]["status"] == "ok");
    let ok = parts.iter().all(|ok| *ok);
    assert_eq!(status, if ok { 200 } else { 503 });
    assert_eq!(health["status"], if ok { "ok" } else { "failing" });
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_s"].is_u64() && health["devices"]["online"].is_u64(), "{health}");
    let storage = &health["storage"];
    assert_eq!((&storage["recording"], &storage["reason"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(storage["time_uncertain"], Value::Bool(false));
    assert!(storage["used_bytes"]["minute"].is_u64() && storage["file_bytes"].is_u64(), "{health}");
    assert_eq!((&storage["last_backup"], &storage["recovered"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn metrics_are_in_the_text_format_and_count_the_answers() {
    let hub = Hub::start().await;
    hub.get("/nothing").await;
    let response = hub.get("/metrics").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    for line in [
        concat!("capteur_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "capteur_http_responses_total{code=\"404\"} 1",
        "capteur_sse_clients 0",
        "capteur_events_total 0",
        "capteur_devices{state=\"online\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let mut families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all, "a family is written twice");
}

#[tokio::test]
async fn the_page_is_served_under_a_strict_policy() {
    let hub = Hub::start().await;
    let response = hub.get("/").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let etag = response.headers()["etag"].clone();
    let again = hub.request(Method::GET, "/").header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

/// Reads a stream until `enough`, and returns what came.
async fn read_until(response: &mut reqwest::Response, enough: &str) -> String {
    let mut text = String::new();
    while !text.contains(enough) {
        let chunk = timeout(LONG, response.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

fn removed(number: u8) -> Event {
    Event::Removed { mac: Mac([0, 0, 0, 0, 0, number]) }
}

#[tokio::test]
async fn the_stream_tells_what_happens_and_resumes_where_it_broke() {
    let hub = Hub::start().await;
    let mut stream = hub.get("/api/v1/events").await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    let start = read_until(&mut stream, "\"devices\"").await;
    assert!(start.starts_with("retry: 2000\n\nevent: snapshot\nid: 0-0\n"), "{start}");
    hub.events.publish(removed(1));
    let first = read_until(&mut stream, "}\n\n").await;
    assert!(first.contains("event: removed\nid: 0-1\ndata: {\"mac\""), "{first}");
    drop(stream);

    hub.events.publish(removed(2));
    let mut stream = hub
        .request(Method::GET, "/api/v1/events")
        .header("last-event-id", "0-1")
        .send()
        .await
        .unwrap();
    let missed = read_until(&mut stream, "}\n\n").await;
    assert!(missed.contains("id: 0-2\n") && !missed.contains("snapshot"), "{missed}");
}

#[tokio::test]
async fn streams_are_limited_and_the_place_of_one_that_ends_is_free_again() {
    let hub = Hub::start().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let stream = hub.get("/api/v1/events").await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    let refused = hub.get("/api/v1/events").await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_problem(refused, 503, "too-many-streams").await;
    streams.pop();
    let free = async {
        while hub.get("/api/v1/events").await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, free).await.expect("the stream that ended still takes a place");
}

#[tokio::test]
async fn streams_and_idle_connections_end_when_the_hub_stops() {
    let hub = Hub::start().await;
    let stream = hub.get("/api/v1/events").await;
    let mut idle = TcpStream::connect(hub.address).await.unwrap();
    // The hub has taken the idle connection once it answers a later one.
    hub.get("/api/v1/devices").await;
    hub.stop().await;
    let mut chunks = stream.bytes_stream();
    let end = async { while chunks.next().await.is_some_and(|chunk| chunk.is_ok()) {} };
    timeout(LONG, end).await.unwrap();
    assert_eq!(timeout(LONG, idle.read(&mut [0; 16])).await.unwrap().unwrap(), 0);
}
