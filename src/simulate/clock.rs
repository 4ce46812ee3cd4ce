//! The time driver of the device logic, for any number of boards.
//!
//! The queues that embassy offers for hosts hold at most 128 tasks and wake them all the time once
//! they are full. This one holds any number, one entry for each task: its earliest wish, since a
//! task that is woken tells its other wishes again. One thread sleeps until the next of them.

use embassy_time_driver::{Driver, TICK_HZ};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

/// Wishes are rounded up to this many ticks, so that boards that wait for about the same moment
/// are woken together.
const GRAIN: u64 = TICK_HZ / 1_000;

struct HostClock {
    started: OnceLock<Instant>,
    alarms: OnceLock<&'static Alarms>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: HostClock = HostClock {
    started: OnceLock::new(),
    alarms: OnceLock::new(),
});

impl Driver for HostClock {
    fn now(&self) -> u64 {
        ticks(self.started.get_or_init(Instant::now).elapsed())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        self.alarms.get_or_init(Alarms::spawn).set(at.div_ceil(GRAIN).saturating_mul(GRAIN), waker);
    }
}

/// A time in ticks, of which half a million years fit.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_micros() * u128::from(TICK_HZ) / 1_000_000).unwrap_or(u64::MAX)
}

/// So many ticks as a time.
fn time(ticks: u64) -> Duration {
    let micros = u128::from(ticks) * 1_000_000 / u128::from(TICK_HZ);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Who wants to be woken when, and the thread that does it.
struct Alarms {
    queue: Mutex<Queue>,
    sooner: Condvar,
}

impl Alarms {
    fn spawn() -> &'static Self {
        let alarms: &'static Self = Box::leak(Box::new(Self {
            queue: Mutex::new(Queue::default()),
            sooner: Condvar::new(),
        }));
        let thread = thread::Builder::new().name("board-clock".into()).spawn(|| alarms.ring());
        if let Err(error) = thread {
            tracing::error!("the simulated boards have no clock: {error}");
        }
        alarms
    }

    fn set(&self, at: u64, waker: &Waker) {
        if self.lock().set(at, waker) {
            self.sooner.notify_one();
        }
    }

    /// Wakes whoever it is time for, for ever.
    fn ring(&self) {
        let mut queue = self.lock();
        loop {
            let now = CLOCK.now();
            let due = queue.take_due(now);
            if !due.is_empty() {
                drop(queue);
                due.into_iter().for_each(Waker::wake);
                queue = self.lock();
                continue;
            }
            queue = match queue.next() {
                None => self.sooner.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let woken = self.sooner.wait_timeout(queue, time(at - now));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The queue is whole between any two calls, so a poisoned lock holds no danger.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task, told apart by its waker.
///
/// The queue keeps a clone of each waker, so no other task can come to have the same.
type Task = (usize, usize);

fn task(waker: &Waker) -> Task {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

#[derive(Default)]
struct Queue {
    by_task: HashMap<Task, u64>,
    by_time: BTreeMap<(u64, Task), Waker>,
}

impl Queue {
    /// Notes a wish, unless the task has an earlier one. Whether it is the earliest of all.
    fn set(&mut self, at: u64, waker: &Waker) -> bool {
        let task = task(waker);
        let waker = match self.by_task.get(&task) {
            Some(earlier) if *earlier <= at => return false,
            Some(later) => self.by_time.remove(&(*later, task)),
            None => None,
        }
        .unwrap_or_else(|| waker.clone());
        self.by_task.insert(task, at);
        self.by_time.insert((at, task), waker);
        self.next() == Some(at)
    }

    /// The earliest wish.
    fn next(&self) -> Option<u64> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out whoever it is time for.
    fn take_due(&mut self, now: u64) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(entry) = self.by_time.first_entry()
            && entry.key().0 <= now
        {
            let ((_, task), waker) = entry.remove_entry();
            self.by_task.remove(&task);
            due.push(waker);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_has_run_for_years_still_tells_the_time() {
        for days in [0, 1, 213, 214, 3_650] {
            let elapsed = Duration::from_hours(24 * days);
            assert_eq!(time(ticks(elapsed)), elapsed, "{days} days");
        }
        assert_eq!(
            time(u64::MAX).as_micros(),
            u128::from(u64::MAX) * 1_000_000 / u128::from(TICK_HZ)
        );
    }
    use embassy_time::Timer;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_with_many_wishes_is_woken_once_at_the_earliest() {
        let mut queue = Queue::default();
        let task = Waker::from(Arc::new(Count::default()));
        assert!(queue.set(30, &task));
        assert!(queue.set(10, &task));
        assert!(!queue.set(20, &task));
        assert_eq!(queue.next(), Some(10));
        assert_eq!(queue.take_due(9).len(), 0);
        assert_eq!(queue.take_due(100).len(), 1);
        assert_eq!(queue.next(), None);
        assert!(queue.by_task.is_empty());
    }

    #[test]
    fn tasks_are_told_apart_and_woken_in_order() {
        let mut queue = Queue::default();
        let counts = [(); 500].map(|()| Arc::new(Count::default()));
        let wakers = counts.clone().map(Waker::from);
        for (at, waker) in (0..).zip(&wakers) {
            queue.set(at, waker);
        }
        queue.take_due(249).into_iter().for_each(Waker::wake);
        let woken = |counts: &[Arc<Count>]| -> usize {
            counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
        };
        assert_eq!((woken(&counts[..250]), woken(&counts[250..])), (250, 0));
        assert_eq!(queue.next(), Some(250));
    }

    #[test]
    fn the_queue_lets_go_of_tasks_that_it_has_woken() {
        let mut queue = Queue::default();
        let count = Arc::new(Count::default());
        queue.set(1, &Waker::from(Arc::clone(&count)));
        assert_eq!(Arc::strong_count(&count), 2);
        drop(queue.take_due(1));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[tokio::test]
    async fn a_thousand_timers_all_ring_and_none_too_early() {
        let begun = Instant::now();
        let timers = (0..1_000_u64).map(|n| async move {
            let wanted = Duration::from_millis(n % 50);
            Timer::after_millis(n % 50).await;
            assert!(begun.elapsed() >= wanted);
        });
        // Each on a task of its own, as boards are.
        let mut tasks: tokio::task::JoinSet<()> = timers.collect();
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }
}
