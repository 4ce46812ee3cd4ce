//! A board's life on the wire, without its pauses and pins.
//!
//! The same exchange as the firmware's: ask for a session, connect again with the will, start the
//! session, obey and report.

use crate::{
    Outcome,
    fleet::Tally,
    line::{Line, qos},
};
use capteur_protocol::{DeviceMessage, HubMessage, Mac, Pair, Percent, Topic};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{Packet, Publish},
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// After how long without an answer a board says its MAC again, as the firmware does.
const REPEAT: Duration = Duration::from_secs(3);

/// How long a board rests after a failure, as the firmware does at first.
const PAUSE: Duration = Duration::from_millis(500);

/// What the boards report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// Nothing.
    Silent,
    /// A light reading at every interval, each board at a moment of its own.
    Every(Duration, QoS),
    /// This many light readings at QoS 1, as fast as they are acknowledged.
    Burst(u32),
}

/// One board.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    pub(crate) index: u32,
    pub(crate) broker: SocketAddr,
    /// Whether it goes on to listen for a new name while it is online, as our firmware does and the
    /// customer's does not.
    pub(crate) hears_names: bool,
    /// How many boards may be on their way from power-on to online.
    pub(crate) joining: Arc<Semaphore>,
    pub(crate) pace: watch::Receiver<Pace>,
    pub(crate) tally: Arc<Tally>,
}

/// The MAC of the board with that index: locally administered.
pub(crate) fn mac(index: u32) -> Mac {
    let [a, b, c, d] = index.to_be_bytes();
    Mac([0x02, 0xbe, a, b, c, d])
}

impl Board {
    /// Lives until the fleet is powered off; begins anew after a failure, as every board does.
    pub(crate) async fn live(self) {
        while let Err(failure) = self.session().await {
            self.tally.failed(self.index, &failure);
            sleep(PAUSE).await;
        }
    }

    /// One session; ends well only with the fleet.
    async fn session(&self) -> Outcome<()> {
        let permit = self.joining.acquire().await?;
        let pair = self.join().await?;
        let mut line = self.start(&pair).await?;
        drop(permit);
        self.tally.online.send_modify(|online| *online += 1);
        let ended = self.operate(&mut line, &pair).await;
        self.tally.online.send_modify(|online| *online -= 1);
        ended
    }

    /// Asks for a session until there is one, and brings both QoS 2 handshakes to their ends.
    async fn join(&self) -> Outcome<Pair> {
        let request = DeviceMessage::Join(mac(self.index).into());
        let mut line = Line::connect(self.broker, mac(self.index), None).await?;
        line.subscribe(&[Topic::NameAssign]).await?;
        let mut assigned = None;
        let mut unfinished = 0_u32;
        let mut ask_at = Instant::now();
        while assigned.is_none() || unfinished > 0 {
            if assigned.is_none() && Instant::now() >= ask_at {
                line.publish(&request, QoS::ExactlyOnce)?;
                unfinished += 1;
                ask_at = Instant::now() + REPEAT;
            }
            line.flush().await?;
            let Ok(packet) = timeout_at(ask_at, line.next()).await else {
                if assigned.is_some() {
                    // The firmware does not wait so long for the end of a handshake either.
                    break;
                }
                continue;
            };
            let packet = packet?;
            line.answer(&packet)?;
            match packet {
                Packet::Publish(publish) => {
                    if let Some(HubMessage::NameAssign(to, pair)) = heard(&publish)
                        && to.mac() == mac(self.index)
                    {
                        unfinished += 1;
                        assigned = Some(pair);
                    }
                }
                Packet::PubRel(_) if assigned.is_some() => {
                    unfinished = unfinished.saturating_sub(1);
                }
                Packet::PubComp(_) => unfinished = unfinished.saturating_sub(1),
                _ => {}
            }
        }
        line.disconnect().await?;
        assigned.ok_or_else(|| "no name was assigned".into())
    }

    /// Connects with the will and starts the session: online once the PUBCOMP is in.
    async fn start(&self, pair: &Pair) -> Outcome<Line> {
        let will = DeviceMessage::Leave(pair.clone());
        let mut line = Line::connect(self.broker, mac(self.index), Some(&will)).await?;
        let topics: &[Topic] = if self.hears_names {
            &[Topic::NameAssign, Topic::LedCommand]
        } else {
            &[Topic::LedCommand]
        };
        line.subscribe(topics).await?;
        let start = line.publish(&DeviceMessage::Start(pair.clone()), QoS::ExactlyOnce)?;
        loop {
            line.flush().await?;
            let packet = line.next().await?;
            line.answer(&packet)?;
            if matches!(packet, Packet::PubComp(complete) if complete.pkid == start) {
                return Ok(line);
            }
        }
    }

    /// Obeys and reports until the connection fails.
    async fn operate(&self, line: &mut Line, pair: &Pair) -> Outcome<()> {
        let mut pace = self.pace.clone();
        // What the LED was switched to and the hub has had no room to be told.
        let mut led = None;
        let mut reporter = Reporter::new(*pace.borrow_and_update(), self.index);
        let light = |count: u64| {
            let level = u8::try_from(count % 101).ok().and_then(Percent::new);
            level.map(|level| DeviceMessage::Photoresistor(pair.clone(), level))
        };
        loop {
            if let Some(on) = led.take_if(|_| line.room() > 0) {
                line.publish(&DeviceMessage::Led(pair.clone(), on), qos(Topic::LedStatus))?;
            }
            let due = reporter.due(line.room(), Instant::now());
            for _ in 0..due {
                let count = self.tally.sent.fetch_add(1, Ordering::Relaxed);
                if let Some(message) = light(count) {
                    line.publish(&message, reporter.qos())?;
                }
            }
            line.flush().await?;
            let wake_at = line.ping_at().min(reporter.next().unwrap_or(line.ping_at()));
            tokio::select! {
                packet = line.next() => {
                    let mut packet = packet?;
                    loop {
                        led = self.handle(line, pair, &packet)?.or(led);
                        match line.try_next()? {
                            Some(next) => packet = next,
                            None => break,
                        }
                    }
                }
                changed = pace.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    reporter = Reporter::new(*pace.borrow_and_update(), self.index);
                }
                () = sleep_until(wake_at) => {
                    if Instant::now() >= line.ping_at() {
                        line.ping()?;
                    }
                }
            }
        }
    }

    /// Answers; gives what the LED is switched to, if that is what the packet says.
    fn handle(&self, line: &mut Line, pair: &Pair, packet: &Packet) -> Outcome<Option<bool>> {
        line.answer(packet)?;
        match packet {
            Packet::Publish(publish) => match heard(publish) {
                Some(HubMessage::LedCommand(to, on)) if to == *pair => return Ok(Some(on)),
                _ => {}
            },
            Packet::PubAck(_) => self.tally.acknowledged(),
            _ => {}
        }
        Ok(None)
    }
}

fn heard(publish: &Publish) -> Option<HubMessage> {
    let topic = std::str::from_utf8(&publish.topic).ok()?.parse().ok()?;
    HubMessage::parse(topic, &publish.payload).ok()
}

/// Knows when light readings are due.
#[derive(Debug)]
struct Reporter {
    pace: Pace,
    next: Option<Instant>,
    left: u32,
}

impl Reporter {
    fn new(pace: Pace, index: u32) -> Self {
        let next = match pace {
            // Spread over the interval by the golden ratio, whatever the number of boards.
            Pace::Every(interval, _) => Some(
                Instant::now() + interval.mul_f64((f64::from(index) * 0.618_033_988_75).fract()),
            ),
            _ => None,
        };
        let left = if let Pace::Burst(count) = pace { count } else { 0 };
        Self { pace, next, left }
    }

    const fn qos(&self) -> QoS {
        match self.pace {
            Pace::Every(_, qos) => qos,
            _ => QoS::AtLeastOnce,
        }
    }

    /// When the next reading is due that waits for a time.
    const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// How many readings are due now; counts them as sent.
    fn due(&mut self, room: u16, now: Instant) -> u32 {
        match self.pace {
            Pace::Silent => 0,
            Pace::Every(interval, _) => match &mut self.next {
                Some(next) if *next <= now => {
                    *next += interval;
                    1
                }
                _ => 0,
            },
            Pace::Burst(_) => {
                let due = self.left.min(u32::from(room));
                self.left -= due;
                due
            }
        }
    }
}
