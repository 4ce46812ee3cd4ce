//! What a board has to say while it is online.

use crate::{
    backlog::Backlog, button::Button, fault::Fault, io::LightSensor, led::Led, light::Light,
    link::Link, pace::Pace, settings::Settings, supervisor::Supervisor,
};
use capteur_protocol::{DeviceMessage, Info, Name, Pair, Topic};
use embassy_time::Instant;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::digital::Wait;
use embedded_io_async::{Read, Write};
use minimq::Op;

/// What is due. Of LED and button it is the latest state, so a burst of commands ends in one report
/// of the last.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) led: bool,
    pub(crate) button: bool,
    light: Pace,
    info: Pace,
    /// One message of the backlog at a time: what the LED has to say always finds room.
    batch: Option<Op>,
}

/// What the reports are about.
pub(crate) struct Sources<'a, L, B, P, const N: usize> {
    pub(crate) led: &'a Led<L>,
    pub(crate) button: &'a Button<B>,
    pub(crate) light: &'a mut Light<P, N>,
    pub(crate) wish: Option<&'a Name>,
}

impl Reports {
    /// Everything is due.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            led: true,
            button: true,
            light: Pace::new(now, settings.light_interval),
            info: Pace::new(now, settings.info_interval),
            batch: None,
        }
    }

    /// When something is due that no event will tell of.
    pub(crate) fn next(&self) -> Instant {
        self.light.next().min(self.info.next())
    }

    /// Publishes what is due, as far as there is room; may not be cancelled.
    pub(crate) async fn send<S: Read + Write, L, B, P, const N: usize>(
        &mut self,
        link: &mut Link<'_, '_, S>,
        pair: &Pair,
        sources: Sources<'_, L, B, P, N>,
        supervisor: &mut impl Supervisor,
    ) -> Result<(), Fault>
    where
        L: OutputPin,
        B: InputPin + Wait,
        P: LightSensor,
    {
        let Sources { led, button, light, wish } = sources;
        let now = Instant::now();
        if self.led && link.can_publish(Topic::LedStatus) {
            link.publish(&DeviceMessage::Led(pair.clone(), led.is_on())).await?;
            self.led = false;
        }
        if self.button && link.can_publish(Topic::ButtonStatus) {
            link.publish(&DeviceMessage::Button(pair.clone(), button.is_pressed())).await?;
            self.button = false;
        }
        if self.light.is_due(now)
            && link.can_publish(Topic::PhotoresistorStatus)
            && let Some(level) = light.measure().await
        {
            light.published(now, level);
            link.publish(&DeviceMessage::Photoresistor(pair.clone(), level)).await?;
        }
        if self.info.is_due(now)
            && link.can_publish(Topic::Info)
            && let Some(info) = supervisor.info().or_else(|| wish.map(|_| Info::default()))
        {
            let info = Info { lost: Some(light.backlog.lost()), wish: wish.cloned(), ..info };
            link.publish(&DeviceMessage::Info(pair.clone(), info)).await?;
        }
        if self.batch.take_if(|op| !link.is_pending(*op)).is_some() {
            light.backlog.settled();
        }
        if self.batch.is_none()
            && link.can_publish(Topic::PhotoresistorBacklog)
            && let Some(readings) = light.backlog.batch(pair, Instant::now())
        {
            self.batch = link.publish(&DeviceMessage::Backlog(pair.clone(), readings)).await?;
        }
        Ok(())
    }

    /// The hub has refused something for want of room: if it was the backlog, it is kept.
    pub(crate) fn no_room<S: Read + Write, const N: usize>(
        &mut self,
        link: &Link<'_, '_, S>,
        backlog: &mut Backlog<N>,
    ) {
        if self.batch.take_if(|op| !link.is_pending(*op)).is_some() {
            backlog.postponed(Instant::now());
        }
    }

    /// Whether a refusal that just came was of the backlog.
    pub(crate) fn is_batch_refused<S: Read + Write>(&self, link: &Link<'_, '_, S>) -> bool {
        self.batch.is_some_and(|op| !link.is_pending(op))
    }
}
