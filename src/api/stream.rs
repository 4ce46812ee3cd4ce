//! `/api/v1/events`: the live stream as server-sent events (WHATWG HTML, section 9.2).
//!
//! A stream is a place in the ring of [`Events`] and a buffer of one write. Nothing queues up for a
//! slow reader: while the connection takes nothing, nothing is asked of the ring, and once the ring
//! has moved on, the reader gets a new snapshot.

use super::{
    Api,
    problem::{self, Kind, Problem},
    query::Query,
    request::{self, Request},
    storage,
};
use crate::{
    events::{Cursor, Events, Follower, Published},
    model::{Device, Storage},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, stream};
use serde::Serialize;
use std::{convert::Infallible, io::Write as _, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// The most streams at once.
pub(super) const STREAMS_MAX: usize = 256;

/// How often a comment goes out, whatever else does: proxies cut what is silent for longer, and the
/// page takes a longer silence for a broken connection.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long a browser waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 2000;

/// How many bytes of events go into one write, about.
const WRITE_BYTES: usize = 16 * 1024;

/// Keeps nginx from collecting the stream in a buffer.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The data of `snapshot`: every device, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct Snapshot {
    devices: Vec<Device>,
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "events")
        .and(request::filter(api))
        .map(|request: Request| match request.method {
            Method::GET => open(&request).into_response(),
            Method::HEAD => headed(StatusCode::OK.into_response()),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Follows what happens, as server-sent events.
///
/// `snapshot` comes first on a fresh connection. Then come `device` (a Device, on any change of
/// state, name or record), `reading` (`mac`, `name`, `channel`, `value`, `at`), `removed` (`mac`)
/// and `command` (a Command). `storage` (a Storage) tells that readings are recorded again or no
/// longer, and that the time of day is certain or no longer; it also follows a `snapshot` where one
/// of these is amiss, or a damaged store was recovered. `Last-Event-ID` replays what was missed;
/// where that is no longer possible, and where a reader is too slow, a `snapshot` comes instead.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "followEvents", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was received")),
    responses(
        (status = 200, description = "The stream, which has no end", body = String, content_type = "text/event-stream"),
        (status = 503, description = "Too many streams are open", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) fn open(request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    let api = &request.api;
    let Ok(permit) = Arc::clone(&api.streams).try_acquire_owned() else {
        let detail = format!("{STREAMS_MAX} event streams are open, which is the most");
        return Err(
            Problem::new(Kind::TOO_MANY_STREAMS, detail).retry_after(Duration::from_secs(5))
        );
    };
    let snapshots = {
        let api = Arc::clone(api);
        move || {
            api.figures.snapshot_sent();
            // Holds the permit as long as the stream lives.
            let _ = &permit;
            let (devices, cursor) = api.context.registry.snapshot();
            Start { devices, cursor, storage: storage::gather(&api.context) }
        }
    };
    let last = last_event_id(&request.headers);
    let frames =
        frames(api.context.events.clone(), snapshots, last, HEARTBEAT, api.stopping.clone());
    let frames = futures_util::StreamExt::map(frames, Ok::<Bytes, Infallible>);
    Ok(headed(warp::reply::stream(frames).into_response()))
}

fn headed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Where the caller was; `None` where it doesn't say, or says something else than what we gave it.
fn last_event_id(headers: &HeaderMap) -> Option<Cursor> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// What a stream begins with.
struct Start {
    devices: Vec<Device>,
    /// The place in the stream that these devices have.
    cursor: Cursor,
    /// As it is there, or a little later: told again then.
    storage: Storage,
}

/// A stream under way.
struct Progress<S> {
    events: Events,
    snapshots: S,
    /// `None` where the next thing to send is a snapshot.
    follower: Option<Follower>,
    heartbeat: Interval,
    stopping: watch::Receiver<bool>,
    buffer: BytesMut,
}

/// What goes out on one connection, in writes of about [`WRITE_BYTES`]; ends when the hub stops.
fn frames<S>(
    events: Events,
    snapshots: S,
    last: Option<Cursor>,
    beat: Duration,
    stopping: watch::Receiver<bool>,
) -> impl Stream<Item = Bytes> + Send + Sync
where
    S: Fn() -> Start + Send + Sync,
{
    let follower = last.and_then(|cursor| events.follow(cursor));
    let mut heartbeat = interval(beat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = BytesMut::new();
    let _ = write!((&mut buffer).writer(), "retry: {RETRY_MS}\n\n");
    let progress = Progress { events, snapshots, follower, heartbeat, stopping, buffer };
    stream::unfold(progress, async |mut progress| {
        progress.fill().await.then(|| (progress.buffer.split().freeze(), progress))
    })
}

impl<S: Fn() -> Start> Progress<S> {
    /// Waits for something to send, and puts it into the buffer; `false` when the hub stops.
    async fn fill(&mut self) -> bool {
        let Some(follower) = &mut self.follower else {
            return self.start();
        };
        let mut event = tokio::select! {
            biased;
            // An error means that the hub has dropped the sender: the same.
            _ = self.stopping.wait_for(|stopping| *stopping) => return false,
            // Before the events: these may never pause.
            _ = self.heartbeat.tick() => {
                self.buffer.extend_from_slice(b":\n\n");
                return true;
            }
            event = follower.next() => event,
        };
        while let Some(next) = event {
            put_event(&mut self.buffer, &next);
            if self.buffer.len() >= WRITE_BYTES {
                return true;
            }
            let Some(ready) = follower.next().now_or_never() else { return true };
            event = ready;
        }
        // Too slow: what is in the buffer still goes out, then a snapshot.
        self.follower = None;
        !self.buffer.is_empty() || self.start()
    }

    /// Puts a snapshot into the buffer, and follows from there.
    fn start(&mut self) -> bool {
        if *self.stopping.borrow() {
            return false;
        }
        let Start { devices, cursor, storage } = (self.snapshots)();
        // Nothing is lost in between but when a whole ring of events comes in this instant: the
        // next read finds out, and asks for another snapshot.
        self.follower = self.events.follow(cursor);
        put(&mut self.buffer, "snapshot", cursor, &Snapshot { devices });
        // Who hears nothing of it after a snapshot takes all to be well.
        if !storage.is_well() {
            put(&mut self.buffer, "storage", cursor, &storage);
        }
        true
    }
}

fn put_event(buffer: &mut BytesMut, event: &Published) {
    // Writing to memory can't fail. JSON has no line breaks outside of strings, where it escapes
    // them, so that one `data` line holds it all.
    let _ = write!(
        buffer.writer(),
        "event: {}\nid: {}\ndata: {}\n\n",
        event.event.name(),
        event.cursor,
        event.json()
    );
}

fn put(buffer: &mut BytesMut, name: &str, cursor: Cursor, data: &impl Serialize) {
    let _ = write!(buffer.writer(), "event: {name}\nid: {cursor}\ndata: ");
    if let Err(error) = serde_json::to_writer(buffer.writer(), data) {
        tracing::error!(%error, name, "an event can't be printed");
    }
    buffer.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use capteur_protocol::Mac;
    use futures_util::StreamExt;
    use proptest::{collection::vec, prelude::*};
    use std::pin::Pin;

    const BOOT: u64 = 5;

    fn removed(number: u8) -> Event {
        Event::Removed { mac: Mac([0, 0, 0, 0, 0, number]) }
    }

    struct Harness {
        events: Events,
        storage: Storage,
        stop: watch::Sender<bool>,
    }

    impl Harness {
        fn new(capacity: usize) -> Self {
            let storage = Storage { recording: true, ..Storage::default() };
            Self { events: Events::new(BOOT, capacity), storage, stop: watch::Sender::new(false) }
        }

        fn connect(&self, last: Option<Cursor>) -> Pin<Box<dyn Stream<Item = Bytes> + Send>> {
            let events = self.events.clone();
            let storage = self.storage.clone();
            let snapshots = move || Start {
                devices: Vec::new(),
                cursor: events.cursor(),
                storage: storage.clone(),
            };
            let beat = Duration::from_millis(5);
            Box::pin(frames(self.events.clone(), snapshots, last, beat, self.stop.subscribe()))
        }
    }

    /// Everything that a stream has to send now, as text.
    fn sent(stream: &mut Pin<Box<dyn Stream<Item = Bytes> + Send>>) -> String {
        let mut text = String::new();
        while let Some(Some(chunk)) = stream.next().now_or_never() {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        // The heartbeat of the tests is fast.
        text.replace(":\n\n", "")
    }

    #[tokio::test]
    async fn a_fresh_connection_gets_a_snapshot_and_then_what_happens() {
        let hub = Harness::new(8);
        hub.events.publish(removed(1));
        let mut stream = hub.connect(None);
        assert_eq!(
            sent(&mut stream),
            "retry: 2000\n\nevent: snapshot\nid: 5-1\ndata: {\"devices\":[]}\n\n"
        );
        hub.events.publish(removed(2));
        assert_eq!(
            sent(&mut stream),
            "event: removed\nid: 5-2\ndata: {\"mac\":\"00:00:00:00:00:02\"}\n\n"
        );
    }

    #[tokio::test]
    async fn a_snapshot_is_followed_by_what_is_amiss_with_the_store() {
        let mut hub = Harness::new(8);
        hub.storage.time_uncertain = true;
        hub.events.publish(removed(1));
        let text = sent(&mut hub.connect(None));
        let (_, storage) = text.split_once("event: storage\n").unwrap();
        assert!(storage.starts_with("id: 5-1\ndata: {\"recording\":true,"), "{text}");
        assert!(
            storage.ends_with("}\n\n") && storage.contains("\"time_uncertain\":true"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_connection_that_comes_back_gets_what_it_missed() {
        let hub = Harness::new(8);
        (1..=3).for_each(|number| hub.events.publish(removed(number)));
        let text = sent(&mut hub.connect(Some(Cursor { boot: BOOT, sequence: 1 })));
        assert!(text.starts_with("retry: 2000\n\nevent: removed\nid: 5-2\n"), "{text}");
        assert!(text.contains("id: 5-3\n") && !text.contains("snapshot"), "{text}");
    }

    #[tokio::test]
    async fn a_place_that_is_gone_is_answered_with_a_snapshot() {
        let hub = Harness::new(2);
        (1..=9).for_each(|number| hub.events.publish(removed(number)));
        for last in [(BOOT, 1), (BOOT, 99), (BOOT - 1, 8)] {
            let last = Cursor { boot: last.0, sequence: last.1 };
            let text = sent(&mut hub.connect(Some(last)));
            assert!(text.contains("event: snapshot\nid: 5-9\n"), "{last}: {text}");
        }
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_hub_stops() {
        let hub = Harness::new(8);
        let mut stream = hub.connect(None);
        sent(&mut stream);
        hub.stop.send_replace(true);
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_comment_comes_again_and_again_without_any_event() {
        assert!(HEARTBEAT < Duration::from_secs(15));
        let hub = Harness::new(8);
        let mut stream = hub.connect(None);
        let start = stream.next().await.unwrap();
        assert!(start.starts_with(b"retry"));
        for _ in 0..5 {
            assert_eq!(stream.next().await.unwrap(), ":\n\n");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_comes_between_events_that_never_pause() {
        let hub = Harness::new(8);
        let mut stream = hub.connect(None);
        stream.next().await.unwrap();
        let mut text = String::new();
        for number in 0..100 {
            tokio::time::advance(Duration::from_millis(1)).await;
            hub.events.publish(removed(number));
            let chunk = stream.next().await.unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        assert!(text.matches(":\n\n").count() >= 10, "{text}");
    }

    proptest! {
        /// A reader that applies snapshots and events as they come always ends where the hub is.
        #[test]
        fn a_reader_at_any_pace_misses_nothing_between_snapshots(
            capacity in 1_usize..6,
            bursts in vec((0_u8..10, any::<bool>(), any::<bool>()), 1..30),
        ) {
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
                let hub = Harness::new(capacity);
                let mut stream = hub.connect(None);
                let mut place: Option<u64> = None;
                for (burst, read, reconnect) in bursts {
                    (0..burst).for_each(|number| hub.events.publish(removed(number)));
                    if read {
                        for message in sent(&mut stream).split_terminator("\n\n") {
                            let Some(id) = message.lines().find_map(|line| line.strip_prefix("id: ")) else { continue };
                            let id: Cursor = id.parse().unwrap();
                            if message.starts_with("event: snapshot") {
                                assert!(place.is_none_or(|place| place <= id.sequence));
                            } else {
                                assert_eq!(place.map(|place| place + 1), Some(id.sequence));
                            }
                            place = Some(id.sequence);
                        }
                        assert_eq!(place, Some(hub.events.cursor().sequence));
                    }
                    if reconnect {
                        stream = hub.connect(place.map(|sequence| Cursor { boot: BOOT, sequence }));
                    }
                }
            });
        }
    }
}
