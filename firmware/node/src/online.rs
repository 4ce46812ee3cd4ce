//! Starts the session, reports and obeys.

use crate::{
    fault::{Fault, Step},
    io::{Connector, LightSensor},
    join::LINGER,
    link::{self, Link},
    liveness::Liveness,
    node::{Node, Phase},
    pace::Pace,
};
use capteur_protocol::{DeviceMessage, HubMessage, Pair, Percent, Topic};
use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::digital::Wait;
use minimq::Op;

/// How long a measurement may take. Nothing is read from the hub meanwhile, so it is much shorter
/// than a keep-alive.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(1);

/// How far the session has come.
#[derive(Debug)]
enum Stage {
    /// The broker has not yet acknowledged our subscriptions.
    Subscribing(Op),
    /// The hub has not yet acknowledged our pair on `state/join`.
    Starting(Option<Op>),
    /// It has: readings count from here on.
    Online,
}

impl Stage {
    /// Whether an assignment for this board replaces the pair that it has.
    ///
    /// A board may have asked more than once, and an answer may come late. Such a session ends when
    /// ours starts, so between our request to start and its acknowledgement only another name is
    /// news: a person has renamed the board.
    fn replaces(&self, current: &Pair, assigned: &Pair) -> bool {
        assigned.session > current.session
            && (!matches!(self, Self::Starting(_)) || assigned.name != current.name)
    }
}

impl<C, L, B, P> Node<C, L, B, P>
where
    C: Connector,
    L: OutputPin,
    B: InputPin + Wait,
    P: LightSensor,
{
    /// Connects with the will `name;session_id`, starts the session and keeps it until something
    /// fails, or until the hub assigns another pair: that one is returned.
    pub(crate) async fn serve(
        &mut self,
        pair: &Pair,
        on_phase: &mut impl FnMut(Phase<'_>),
    ) -> Result<Pair, Fault> {
        let Self { connector, buffers, settings, led, button, light, backoff } = self;
        let will = DeviceMessage::Leave(pair.clone()).payload();
        let liveness = Liveness::new(settings.keep_alive);
        let mut session = link::session(buffers, settings, Some(will.as_bytes()))?;
        let mut link =
            Link::connect(connector, &mut session, &liveness, settings, Step::Start).await?;

        // Subscribed before the session starts: the hub may command as soon as it has.
        let mut stage =
            Stage::Subscribing(link.subscribe([Topic::NameAssign, Topic::LedCommand]).await?);
        let start_by = Instant::now() + settings.io_timeout;
        let mut pace = Pace::new(Instant::now(), settings.light_interval);
        // The latest state is what is due, so a burst of commands ends in one report of the last.
        let (mut led_due, mut button_due) = (true, true);
        let mut successor: Option<(Pair, Instant)> = None;
        let next = loop {
            match stage {
                Stage::Subscribing(op) if !link.is_pending(op) && successor.is_none() => {
                    stage =
                        Stage::Starting(link.publish(&DeviceMessage::Start(pair.clone())).await?);
                }
                Stage::Starting(op) if !op.is_some_and(|op| link.is_pending(op)) => {
                    stage = Stage::Online;
                    link.enter(Step::Online);
                    backoff.reset();
                    button.sample()?;
                    pace = Pace::new(Instant::now(), settings.light_interval);
                    on_phase(Phase::Online(&pair.name));
                }
                _ => {}
            }
            let now = Instant::now();
            if let Some((next, _)) = successor.take_if(|(_, leave_at)| now >= *leave_at) {
                break next;
            }
            let online = matches!(stage, Stage::Online);
            if online {
                if led_due && link.can_publish(Topic::LedStatus) {
                    link.publish(&DeviceMessage::Led(pair.clone(), led.is_on())).await?;
                    led_due = false;
                }
                if button_due && link.can_publish(Topic::ButtonStatus) {
                    let pressed = button.is_pressed();
                    link.publish(&DeviceMessage::Button(pair.clone(), pressed)).await?;
                    button_due = false;
                }
                if pace.is_due(now)
                    && link.can_publish(Topic::PhotoresistorStatus)
                    && let Some(level) = measure(light).await
                {
                    link.publish(&DeviceMessage::Photoresistor(pair.clone(), level)).await?;
                }
            } else if now >= start_by {
                return Err(Fault::TimedOut(Step::Start));
            }

            let mut wake_at = if online { pace.next() } else { start_by };
            if let Some((_, leave_at)) = &successor {
                wake_at = wake_at.min(*leave_at);
            }
            // Each of the three may be cancelled; whatever publishes is not among them.
            match select3(link.next(), button.changed(), Timer::at(wake_at)).await {
                Either3::First(received) => match received? {
                    Some(HubMessage::LedCommand(to, on)) if to == *pair => {
                        led.set(on)?;
                        led_due = true;
                    }
                    Some(HubMessage::NameAssign(to, assigned)) if to.mac() == settings.mac => {
                        let current = successor.as_ref().map_or(pair, |(pair, _)| pair);
                        if stage.replaces(current, &assigned) {
                            successor = Some((assigned, Instant::now() + LINGER));
                        }
                    }
                    _ => {}
                },
                Either3::Second(changed) => {
                    changed?;
                    button_due = true;
                }
                Either3::Third(()) => {}
            }
        };
        link.disconnect().await;
        Ok(next)
    }
}

/// A sensor that fails or hangs costs a reading, not the connection.
async fn measure<P: LightSensor>(light: &mut P) -> Option<Percent> {
    match with_timeout(MEASURE_TIMEOUT, light.percent()).await {
        Ok(Ok(level)) => Some(level),
        Ok(Err(error)) => {
            log::warn!("no light reading: {error:?}");
            None
        }
        Err(_) => {
            log::warn!("no light reading: the sensor does not answer");
            None
        }
    }
}
