//! One board from inside: its device logic and the world around it.

use super::{
    board::{Board, Cut, Inside, Phase, Shared, State},
    daylight::Daylight,
    network::Network,
    options::Options,
    pins::{ButtonPin, LedPin, Photoresistor},
    random::Random,
};
use capteur_node::{Node, Peripherals, Settings, Supervisor, supervisor};
use capteur_protocol::Info;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep};

/// A press of a person's finger, in seconds: from a tap to a lean.
const PRESS: (f64, f64) = (0.1, 0.9);

/// What a board is born with.
pub(super) struct Birth {
    pub(super) options: Arc<Options>,
    pub(super) number: usize,
    pub(super) board: Board,
    pub(super) inside: Inside,
    /// The number of boards online, over all.
    pub(super) online: watch::Sender<usize>,
}

/// Lives until it is dropped.
pub(super) async fn live(birth: Birth) {
    let Birth { options, number, board, inside, online } = birth;
    let Inside { state, button, cuts, shared } = inside;
    let mut random = Random::of(options.seed, number as u64);

    sleep(power_on_after(&options, number)).await;
    let network = Network { broker: options.broker.clone(), cuts };
    let peripherals = Peripherals {
        led: LedPin { state: state.clone(), shared: Arc::clone(&shared) },
        button: ButtonPin { pressed: button },
        light: Photoresistor {
            daylight: Daylight::new(random.next(), options.day),
            since: Instant::now(),
            shared: Arc::clone(&shared),
        },
    };
    let light_interval =
        embassy_time::Duration::try_from(options.interval).unwrap_or(embassy_time::Duration::MAX);
    let mac = board.mac();
    let key = options.device_key.as_ref().map(|master| master.board_key(mac));
    let wish = options.names.get(number).cloned();
    let settings = Settings { light_interval, key, wish, ..Settings::new(mac) };
    let seed = (random.next() >> 32) as u32;
    let mut node = Node::new(network, peripherals, settings, seed);
    let shown = Shown { state, shared, online, rssi: -45 - i8::try_from(number % 40).unwrap_or(0) };
    let (finger, shears) = (random.fork(), random.fork());
    tokio::select! {
        never = node.run(shown) => match never {},
        () = press_at_random(&board, options.press_every, finger) => {}
        () = cut_at_random(&board, options.cut_every, shears) => {}
    }
}

/// What can be seen of a board, and what it tells about itself.
struct Shown {
    state: watch::Sender<State>,
    shared: Arc<Shared>,
    online: watch::Sender<usize>,
    /// As strong as at one place of a house.
    rssi: i8,
}

impl Supervisor for Shown {
    fn phase(&mut self, phase: supervisor::Phase<'_>) {
        let (phase, name) = match phase {
            supervisor::Phase::Connecting => (Phase::Connecting, None),
            supervisor::Phase::Joining => (Phase::Joining, None),
            supervisor::Phase::Starting(name) => (Phase::Starting, Some(name)),
            supervisor::Phase::Online(name) => (Phase::Online, Some(name)),
            supervisor::Phase::Waiting(..) => (Phase::Waiting, None),
        };
        let before = self.state.borrow().phase;
        let (was_online, is_online) = (before == Phase::Online, phase == Phase::Online);
        // In such an order that whoever sees the fleet's count sees states to match.
        if was_online && !is_online {
            self.online.send_modify(|count| *count -= 1);
        }
        if is_online && !was_online {
            self.shared.onlines.add();
        }
        self.state.send_modify(|state| {
            state.phase = phase;
            if name.is_some() {
                state.name = name.cloned();
            }
        });
        if is_online && !was_online {
            self.online.send_modify(|count| *count += 1);
        }
    }

    fn info(&mut self) -> Option<Info> {
        let uptime = embassy_time::Instant::now().as_secs();
        Some(Info {
            firmware: env!("CARGO_PKG_VERSION").parse().ok(),
            chip: "simulated".parse().ok(),
            reset: "power-on".parse().ok(),
            rssi: Some(self.rssi),
            uptime_s: u32::try_from(uptime).ok(),
            ..Info::default()
        })
    }
}

/// The boards' moments of power-on, evenly over the time given.
fn power_on_after(options: &Options, number: usize) -> Duration {
    let part = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    options.power_on * part(number) / part(options.devices.max(1))
}

/// A finger that presses now and then. Never returns.
async fn press_at_random(board: &Board, every: Option<Duration>, mut random: Random) {
    let Some(every) = every else { return std::future::pending().await };
    loop {
        let (pause, held) = press(every, &mut random);
        sleep(pause).await;
        board.press();
        sleep(held).await;
        board.release();
    }
}

/// How long until the next press, and how long it lasts.
fn press(every: Duration, random: &mut Random) -> (Duration, Duration) {
    (random.wait(every), Duration::from_secs_f64(random.between(PRESS.0, PRESS.1)))
}

/// A network that fails now and then, half of the times without a word. Never returns.
async fn cut_at_random(board: &Board, every: Option<Duration>, mut random: Random) {
    let Some(every) = every else { return std::future::pending().await };
    loop {
        sleep(random.wait(every)).await;
        board.cut(if random.unit() < 0.5 { Cut::Drop } else { Cut::Stall });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_switched_on_one_after_the_other_or_all_at_once() {
        let options = Options { power_on: Duration::from_secs(10), ..Options::new("", 5) };
        let moments = |options: &Options| [0, 1, 4].map(|n| power_on_after(options, n).as_secs());
        assert_eq!(moments(&options), [0, 2, 8]);
        assert_eq!(moments(&Options::quiet("", 5)), [0, 0, 0]);
    }

    #[test]
    fn fingers_press_about_as_often_as_asked_and_let_go_within_a_second() {
        let mut random = Random::of(1, 1);
        let every = Duration::from_secs(20);
        let presses: Vec<_> = (0..10_000).map(|_| press(every, &mut random)).collect();
        assert!(presses.iter().all(|(_, held)| (100..900).contains(&held.as_millis())));
        let average = presses.iter().map(|(pause, _)| *pause).sum::<Duration>() / 10_000;
        assert!((19.0..21.0).contains(&average.as_secs_f64()), "{average:?}");
        let soon = presses.iter().filter(|(pause, _)| *pause < every / 10).count();
        assert!((700..1_200).contains(&soon), "{soon} of 10,000 within a tenth of the mean");
    }
}
