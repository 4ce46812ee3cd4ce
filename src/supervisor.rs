//! What the service manager is told: ready, alive, stopping (`sd_notify(3)`).
//!
//! The watchdog is fed by progress alone: each beat waits until the router, the registry's task and the
//! store's writer have each done a round of their work. A hub that is up but stuck is not fed, and
//! systemd starts it again.

use sd_notify::NotifyState;
use std::{fmt, future::Future, io, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{debug, error, warn};

/// How the service manager is told something; handed in, so that tests can listen.
type Notify = Box<dyn Fn(&[NotifyState<'_>]) -> io::Result<()> + Send + Sync>;

/// The line to the service manager.
pub struct Supervisor {
    notify: Notify,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The service manager that started this process, as the environment names it
    /// (`NOTIFY_SOCKET`, `WATCHDOG_USEC`); where it names none, nothing is told.
    pub fn from_environment() -> Self {
        Self { notify: Box::new(sd_notify::notify), watchdog: sd_notify::watchdog_enabled() }
    }

    /// The hub is up: it listens and its store is open.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The hub is not up yet, for a reason that is not its own; it will say so again within `soon`.
    pub fn waiting(&self, status: &str, soon: Duration) {
        // Twice as long, so that what is said in time also gets there in time.
        let micros = u32::try_from((soon * 2).as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(status)]);
    }

    /// The hub is going down.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// Feeds the watchdog as long as `probe` shows progress, with a status line that it returns.
    /// Never ends; does nothing where no watchdog is set.
    pub async fn watch<P, F, E>(&self, probe: P)
    where
        P: Fn() -> F,
        F: Future<Output = Result<String, E>>,
        E: fmt::Display,
    {
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        // sd_watchdog_enabled(3) recommends half the interval.
        let period = (watchdog / 2).max(Duration::from_millis(1));
        let mut beat = interval_at(Instant::now(), period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            match timeout(watchdog, probe()).await {
                Ok(Ok(status)) => {
                    self.tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
                }
                Ok(Err(error)) => error!("the watchdog is not fed: {error}"),
                Err(_) => error!("the watchdog is not fed: no progress within {watchdog:?}"),
            }
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        debug!(?states, "telling the service manager");
        if let Err(error) = (self.notify)(states) {
            warn!("can't reach the service manager: {error}");
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    };

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_by_progress_alone() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let supervisor = Supervisor {
            notify: Box::new(move |states| {
                let lines = states.iter().map(ToString::to_string);
                heard.lock().unwrap().extend(lines);
                Ok(())
            }),
            watchdog: Some(Duration::from_secs(30)),
        };
        let beats = || told.lock().unwrap().iter().filter(|line| *line == "WATCHDOG=1").count();
        let stuck = Arc::new(AtomicBool::new(false));
        let probe = || async {
            if stuck.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok::<_, io::Error>("3 devices".to_owned())
        };
        let watch = supervisor.watch(probe);
        tokio::pin!(watch);
        let run = Duration::from_secs(61);
        assert!(timeout(run, &mut watch).await.is_err());
        assert_eq!(beats(), 5, "at 0, 15, 30, 45 and 60 seconds");
        assert!(told.lock().unwrap().contains(&"STATUS=3 devices".to_owned()));

        stuck.store(true, Ordering::Relaxed);
        assert!(timeout(Duration::from_mins(5), &mut watch).await.is_err());
        assert_eq!(beats(), 5, "no progress, no food");

        stuck.store(false, Ordering::Relaxed);
        assert!(timeout(run, &mut watch).await.is_err());
        assert!(beats() > 5, "it recovers when the work goes on");
    }

    #[test]
    fn a_hub_that_waits_asks_for_more_time_than_it_takes_to_ask_again() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let supervisor = Supervisor {
            notify: Box::new(move |states| {
                heard.lock().unwrap().extend(states.iter().map(ToString::to_string));
                Ok(())
            }),
            watchdog: None,
        };
        supervisor.waiting("no room", Duration::from_secs(5));
        assert_eq!(*told.lock().unwrap(), ["EXTEND_TIMEOUT_USEC=10000000", "STATUS=no room"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_probe_does_not_feed_the_watchdog() {
        let told: Arc<Mutex<usize>> = Arc::default();
        let heard = Arc::clone(&told);
        let supervisor = Supervisor {
            notify: Box::new(move |_| {
                *heard.lock().unwrap() += 1;
                Ok(())
            }),
            watchdog: Some(Duration::from_secs(1)),
        };
        let watch = supervisor.watch(|| async { Err::<String, _>("the store has failed") });
        assert!(timeout(Duration::from_secs(10), watch).await.is_err());
        assert_eq!(*told.lock().unwrap(), 0);
    }
}
