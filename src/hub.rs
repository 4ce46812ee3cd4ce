//! Builds the rooms, ties them and stops them.

use crate::{
    addresses::{self, Addresses},
    api,
    broker::{Broker, BrokerEnded, StartError},
    config::{self, Settings},
    events::Events,
    mdns::Mdns,
    model::{Clock, DeviceState},
    nightly::{self, Nightly},
    registry::{self, DeviceError, Registry},
    store::{self, Contents, Store, StoreError},
    supervisor::Supervisor,
};
use std::{
    fs,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// How many events the live stream remembers for readers that come back.
const EVENTS_REMEMBERED: usize = 1024;

/// How many connections may wait to be accepted: a whole house of boards after a power cut.
const BACKLOG: u32 = 4096;

/// How often a store for which there is no room is tried to be opened.
const ROOM_RETRY: Duration = Duration::from_secs(5);

/// What part of the file system all that is kept may take, where no setting says how much. The
/// file takes up to two and a half times as much.
const TOTAL_PART: u64 = 5;

/// The longest time that each step of a graceful stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the hub listens.
#[derive(Debug)]
pub struct Listeners {
    /// For the boards.
    pub mqtt: TcpListener,
    /// For the API and the page.
    pub http: TcpListener,
}

impl Listeners {
    /// Binds what the settings name.
    ///
    /// # Errors
    ///
    /// [`HubError::Listen`], which names the setting. Must run inside tokio.
    pub fn bind(settings: &Settings) -> Result<Self, HubError> {
        Ok(Self {
            mqtt: listen("mqtt.listen", settings.mqtt.listen)?,
            http: listen("http.listen", settings.http.listen)?,
        })
    }

    /// The addresses that the listeners got.
    ///
    /// # Errors
    ///
    /// The system's word, where a listener has none.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses { mqtt: self.mqtt.local_addr()?, http: self.http.local_addr()? })
    }
}

/// Listens on `address`; `key` is the setting that named it.
///
/// # Errors
///
/// [`HubError::Listen`].
pub fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, HubError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    socket
        .and_then(|socket| {
            // A hub that restarts must not wait for its old connections to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        })
        .map_err(|error| HubError::Listen { key, address, error })
}

/// Why the hub did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// An address can't be listened on.
    #[error("can't listen on {address} (setting `{key}`): {error}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's word.
        error: io::Error,
    },
    /// The store can't be opened, or has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The router can't be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The broker has ended by itself.
    #[error(transparent)]
    Broker(#[from] BrokerEnded),
    /// The registry has ended by itself.
    #[error(transparent)]
    Registry(#[from] registry::RegistryEnded),
    /// A part of the hub has panicked; the log has where.
    #[error("a part of the hub has panicked: {0}")]
    Panic(#[from] tokio::task::JoinError),
}

/// What the hub takes from the machine; handed in, so that tests can own it.
pub struct Platform {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random numbers that can't be guessed.
    pub entropy: Box<dyn FnMut() -> u32 + Send>,
    /// The line to the service manager.
    pub supervisor: Supervisor,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").finish_non_exhaustive()
    }
}

/// Runs the hub until `shutdown`, then stops it in order: boards are told, what they said last is
/// taken in, the store is flushed.
///
/// # Errors
///
/// [`HubError`] where a part could not be started or ended by itself.
pub async fn run(
    settings: Settings,
    listeners: Listeners,
    platform: Platform,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), HubError> {
    let Platform { clock, entropy, supervisor } = platform;
    let addresses = bound(&listeners, &settings);
    let options = options(&settings.store, Arc::clone(&clock));
    tokio::pin!(shutdown);
    let opened = tokio::select! {
        () = &mut shutdown => None,
        opened = open_store(&settings.store.path, options, &supervisor) => Some(opened?),
    };
    // Told to stop while it waits for room.
    let Some((store, contents)) = opened else { return Ok(()) };
    info!(path = %settings.store.path.display(), devices = contents.devices.len(), "store open");
    let told = tell_addresses(&addresses, &settings.store.path);
    let (nightly, backups) = Nightly::new(nightly::Parts::of(
        &settings.store,
        store.clone(),
        !contents.devices.is_empty(),
        Arc::clone(&clock),
    ));

    let recovery = contents.recovery.clone().map(Arc::from);
    let (broker, link) = Broker::start(&settings.mqtt)?;
    let events = Events::new(contents.marks.boots, EVENTS_REMEMBERED);
    let (stop, stopped) = watch::channel(Stage::Running);
    let (registry, registry_task) = registry::start(
        registry::Parts {
            contents,
            link,
            client: broker.client(),
            store: store.clone(),
            events: events.clone(),
            devices: settings.devices.clone(),
            anonymous: settings.mqtt.anonymous,
            keyed: settings.mqtt.device_key.is_some(),
            commands: settings.commands.clone(),
            clock: Arc::clone(&clock),
            entropy,
        },
        reached(stopped.clone(), Stage::Registry),
    );
    let context = api::Context {
        registry: registry.clone(),
        store: store.clone(),
        events,
        broker: broker.clone(),
        clock,
        backups,
        recovery,
        settings: settings.http.clone(),
        mqtt_port: addresses.mqtt.port(),
    };
    let mut front = tokio::spawn({
        let (broker, stop) = (broker.clone(), reached(stopped.clone(), Stage::Front));
        async move { broker.serve(listeners.mqtt, stop).await }
    });
    let mut registry_task = tokio::spawn(registry_task);
    let mut api =
        tokio::spawn(api::serve(listeners.http, context, reached(stopped.clone(), Stage::Front)));
    let nightly = tokio::spawn(nightly.run(reached(stopped.clone(), Stage::Front)));
    let mdns = Mdns::new(&settings.mdns, &addresses).run(reached(stopped.clone(), Stage::Front));
    let mdns = tokio::spawn(mdns);
    supervisor.ready("running");

    let watch = supervisor.watch(|| probe(&broker, &registry, &store));
    tokio::select! {
        () = &mut shutdown => {}
        () = watch => {}
        ended = &mut front => ended??,
        ended = &mut registry_task => ended??,
        ended = &mut api => ended?,
    }

    info!("stopping");
    supervisor.stopping();
    // First the sockets, so that nothing new comes in; then the registry, which still takes in
    // what the boards said last; the store at the end.
    stop.send_replace(Stage::Front);
    let front = timeout(STOP_TIMEOUT, front).await;
    if front.is_err() {
        warn!("some connections did not close in time");
    }
    stop.send_replace(Stage::Registry);
    let registry = timeout(STOP_TIMEOUT, registry_task).await;
    if registry.is_err() {
        warn!("the registry did not end in time");
    }
    // Before the lock on the store goes: the next hub writes its own.
    let _ = fs::remove_file(&told);
    store.close().await?;
    // A stop that lost something is a failure, but the store is closed all the same.
    if let Ok(ended) = front {
        ended??;
    }
    if let Ok(ended) = registry {
        ended??;
    }
    // A backup under way has ended with the store.
    for (room, late) in [
        (api, "some requests did not end"),
        (nightly, "the nightly backup did not end"),
        (mdns, "the hub's name was not taken back"),
    ] {
        if timeout(STOP_TIMEOUT, room).await.is_err() {
            warn!("{late} in time");
        }
    }
    info!("stopped");
    Ok(())
}

/// Opens the store. Where the disk is so full that it can't be opened, waits until there is room:
/// to end, and to be started again every second, would make neither room nor sense.
async fn open_store(
    path: &Path,
    options: store::Options,
    supervisor: &Supervisor,
) -> Result<(Store, Contents), HubError> {
    let (path, options) = (Arc::<Path>::from(path), Arc::new(options));
    let mut told = false;
    loop {
        let (path, options) = (Arc::clone(&path), Arc::clone(&options));
        match tokio::task::spawn_blocking(move || Store::open(&path, &options)).await? {
            Err(error) if error.is_full() => {
                if !told {
                    warn!("the disk is full: waiting for room to open the store: {error}");
                    told = true;
                }
                supervisor.waiting("the disk is full: waiting for room", ROOM_RETRY);
                sleep(ROOM_RETRY).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// What the settings say of the store.
fn options(settings: &config::Store, clock: Arc<dyn Clock>) -> store::Options {
    store::Options {
        commit_interval: Duration::from_millis(settings.flush_ms),
        retention: retention(settings),
        min_free_bytes: settings.min_free_mb.saturating_mul(1_000_000),
        clock,
        ..store::Options::default()
    }
}

/// What the settings say of how long what is kept.
fn retention(settings: &config::Store) -> store::Retention {
    const DAY: Duration = Duration::from_hours(24);
    let limit = |days: u32, megabytes: u64| store::Limit {
        age: (days > 0).then(|| DAY * days),
        bytes: (megabytes > 0).then(|| megabytes.saturating_mul(1_000_000)),
    };
    let config::Retention { raw_days, minute_days, hour_days, log_days, .. } = settings.retention;
    let config::Retention { raw_mb, minute_mb, hour_mb, log_mb, total_mb, .. } = settings.retention;
    let share = || {
        let size = store::file_system_bytes(&settings.path);
        size.map(|bytes| bytes / TOTAL_PART)
            .inspect_err(|error| warn!("the file system's size is unknown: {error}"))
            .ok()
    };
    store::Retention {
        raw: limit(raw_days, raw_mb),
        minute: limit(minute_days, minute_mb),
        hour: limit(hour_days, hour_mb),
        log: limit(log_days, log_mb),
        total_bytes: limit(0, total_mb).bytes.or_else(share),
    }
}

/// Where the listeners are; as in the settings where the system does not say.
fn bound(listeners: &Listeners, settings: &Settings) -> Addresses {
    listeners.addresses().unwrap_or_else(|error| {
        warn!("a listener has no address: {error}");
        Addresses { mqtt: settings.mqtt.listen, http: settings.http.listen }
    })
}

/// Tells other commands on this store where the hub is; they only do not find it where that fails.
/// Returns the file.
fn tell_addresses(addresses: &Addresses, store: &Path) -> PathBuf {
    let file = store.join(addresses::FILE);
    if let Err(error) = addresses.write(&file) {
        warn!("can't write {}: {error}", file.display());
    }
    file
}

/// Asks every room for progress; how many devices are online.
async fn probe(broker: &Broker, registry: &Registry, store: &Store) -> Result<String, String> {
    broker.probe().await.map_err(|error| error.to_string())?;
    registry.probe().await.map_err(|error: DeviceError| error.to_string())?;
    store.flush().await.map_err(|error| error.to_string())?;
    let devices = registry.stats().devices;
    let online = devices.get(DeviceState::Online.as_str()).copied().unwrap_or_default();
    Ok(format!("{online} of {} devices online", devices.values().sum::<usize>()))
}

/// How far the stop has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Front,
    Registry,
}

/// Ends once the stop has got to `stage`.
async fn reached(mut stopped: watch::Receiver<Stage>, stage: Stage) {
    // An error means that `run` itself has gone: time to stop, too.
    let _ = stopped.wait_for(|now| *now >= stage).await;
}
