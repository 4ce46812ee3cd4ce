//! Starts the session and obeys.

use crate::{
    fault::{Fault, Step},
    io::{Connector, LightSensor},
    join::LINGER,
    light::Light,
    link::{self, Link},
    liveness::Liveness,
    node::Node,
    reports::{Reports, Sources},
    stop::Stop,
    supervisor::{Phase, Supervisor},
};
use capteur_protocol::{DeviceMessage, HubMessage, Pair, Topic};
use core::future::Future;
use embassy_futures::select::{Either3, Either4, select, select3, select4};
use embassy_time::{Instant, Timer};
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::digital::Wait;
use embedded_io_async::{Read, Write};
use minimq::Op;

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

/// Why a session has come to its end without a fault.
enum End {
    /// The hub has assigned another pair.
    Replaced(Pair),
    /// The board was told to stop.
    Stopped,
}

impl<C, L, B, P, const N: usize> Node<C, L, B, P, N>
where
    C: Connector,
    L: OutputPin,
    B: InputPin + Wait,
    P: LightSensor,
{
    /// Connects with the will `name;session_id`, starts the session and keeps it until something
    /// fails, or until the hub assigns another pair: that one is returned. `None` when the board is
    /// told to stop, after it has left.
    pub(crate) async fn serve<F: Future<Output = ()>>(
        &mut self,
        pair: &Pair,
        supervisor: &mut impl Supervisor,
        stop: &mut Stop<'_, F>,
    ) -> Result<Option<Pair>, Fault> {
        let Self { connector, buffers, identity, settings, led, button, light, backoff } = self;
        let will = DeviceMessage::Leave(pair.clone()).payload();
        let liveness = Liveness::new(settings.keep_alive);
        let mut session = link::session(buffers, identity, settings, Some(will.as_bytes()))?;
        let connecting = Link::connect(connector, &mut session, &liveness, settings, Step::Start);
        let connected = match select3(connecting, stop.wished(), light.keep()).await {
            Either3::First(connected) => connected,
            Either3::Second(()) => return Ok(None),
            Either3::Third(never) => match never {},
        };
        supervisor.progress();
        let mut link = connected?;

        // Subscribed before the session starts: the hub may command as soon as it has.
        let mut stage =
            Stage::Subscribing(link.subscribe([Topic::NameAssign, Topic::LedCommand]).await?);
        let start_by = Instant::now() + settings.io_timeout;
        let mut reports = Reports::new(settings, Instant::now());
        let mut heard_at = liveness.heard_at();
        let mut successor: Option<(Pair, Instant)> = None;
        let end = loop {
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
                    reports = Reports::new(settings, Instant::now());
                    supervisor.phase(Phase::Online(&pair.name));
                }
                _ => {}
            }
            let now = Instant::now();
            if let Some((next, _)) = successor.take_if(|(_, leave_at)| now >= *leave_at) {
                break End::Replaced(next);
            }
            let online = matches!(stage, Stage::Online);
            if online {
                let sources = Sources { led, button, light, wish: settings.wish.as_ref() };
                reports.send(&mut link, pair, sources, supervisor).await?;
            } else if now >= start_by {
                return Err(Fault::TimedOut(Step::Start));
            }

            let wake_at = if online { reports.next() } else { start_by };
            let wake_at =
                successor.as_ref().map_or(wake_at, |(_, leave_at)| wake_at.min(*leave_at));
            let idle = idle(wake_at, (!online).then_some(&mut *light));
            // Each of the four may be cancelled; whatever publishes is not among them.
            match select4(link.next(), button.changed(), stop.wished(), idle).await {
                Either4::First(received) => {
                    if liveness.heard_at() > heard_at {
                        heard_at = liveness.heard_at();
                        supervisor.progress();
                        light.backlog.heard(heard_at);
                    }
                    if received == Err(Fault::Refused(Step::Online))
                        && reports.is_batch_refused(&link)
                    {
                        light.backlog.refused(Instant::now());
                    }
                    let received = received?;
                    if link.take_full() {
                        reports.no_room(&link, &mut light.backlog);
                    }
                    match received {
                        Some(HubMessage::LedCommand(to, on)) if to == *pair => {
                            led.set(on)?;
                            reports.led = true;
                        }
                        Some(HubMessage::NameAssign(to, assigned)) if to.mac() == settings.mac => {
                            let current = successor.as_ref().map_or(pair, |(pair, _)| pair);
                            if stage.replaces(current, &assigned) {
                                successor = Some((assigned, Instant::now() + LINGER));
                            }
                        }
                        _ => {}
                    }
                }
                Either4::Second(changed) => {
                    changed?;
                    reports.button = true;
                }
                Either4::Third(()) => break End::Stopped,
                Either4::Fourth(()) => {}
            }
        };
        Ok(match end {
            End::Replaced(next) => {
                link.disconnect().await;
                Some(next)
            }
            End::Stopped => {
                link.leave(pair, &stage).await;
                None
            }
        })
    }
}

/// Waits; meanwhile a board that is not online yet goes on measuring.
async fn idle<P: LightSensor, const N: usize>(until: Instant, light: Option<&mut Light<P, N>>) {
    match light {
        Some(light) => {
            select(Timer::at(until), light.keep()).await;
        }
        None => Timer::at(until).await,
    }
}

impl<S: Read + Write> Link<'_, '_, S> {
    /// Leaves the session, if it was started, and ends the connection.
    async fn leave(mut self, pair: &Pair, stage: &Stage) {
        if !matches!(stage, Stage::Subscribing(_)) {
            self.say_last(&DeviceMessage::Leave(pair.clone())).await;
        }
        self.disconnect().await;
    }
}
