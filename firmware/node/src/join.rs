//! Gets a name and a session.

use crate::{
    fault::{Fault, Step},
    identity::Identity,
    io::{Connector, LightSensor},
    link::{self, Buffers, Link},
    liveness::Liveness,
    node::Node,
    settings::Settings,
    stop::Stop,
    supervisor::{Phase, Supervisor},
};
use capteur_protocol::{DeviceMessage, HubMessage, Pair, Topic};
use core::future::Future;
use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Instant, with_deadline};

/// How long a connection is kept after the assignment that ends it: long enough for the QoS 2
/// handshake (PUBREL, PUBCOMP) to come to its end on a local network.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// How long answers to repeats of the MAC are waited for once there is one: the newest counts, and
/// one that arrives on the next connection would look like a new assignment.
const STRAGGLERS: Duration = Duration::from_millis(200);

impl<C: Connector, L, B, P: LightSensor, const N: usize> Node<C, L, B, P, N> {
    /// Gets a name and a session, and goes on measuring meanwhile; `None` when it is told to stop.
    pub(crate) async fn join<F: Future<Output = ()>>(
        &mut self,
        supervisor: &mut impl Supervisor,
        stop: &mut Stop<'_, F>,
    ) -> Result<Option<Pair>, Fault> {
        let Self { connector, buffers, identity, settings, light, .. } = self;
        // Where it stops there is no session to leave, so the connection is just dropped.
        let request = request(connector, buffers, identity, settings, supervisor);
        match select3(request, stop.wished(), light.keep()).await {
            Either3::First(pair) => pair.map(Some),
            Either3::Second(()) => Ok(None),
            Either3::Third(never) => match never {},
        }
    }
}

/// Publishes the MAC until the hub answers, and leaves with the newest answer.
///
/// The subscription is acknowledged before the MAC goes out, and the MAC goes out again every
/// few seconds: there is no session on the broker that would keep it for a hub to come.
async fn request<C: Connector>(
    connector: &mut C,
    buffers: &mut Buffers,
    identity: &Identity,
    settings: &Settings,
    supervisor: &mut impl Supervisor,
) -> Result<Pair, Fault> {
    let liveness = Liveness::new(settings.keep_alive);
    let mut session = link::session(buffers, identity, settings, None)?;
    let connected = Link::connect(connector, &mut session, &liveness, settings, Step::Join).await;
    supervisor.progress();
    let mut link = connected?;
    supervisor.phase(Phase::Joining);

    let request = DeviceMessage::Join(settings.mac.into());
    let subscription = link.subscribe([Topic::NameAssign]).await?;
    let begun = Instant::now();
    let give_up_at = begun + settings.join_timeout;
    let mut ask_at = begun;
    let mut unanswered = 0_u32;
    let mut newest = None;
    let mut heard_at = liveness.heard_at();
    let mut leave_at = give_up_at;
    loop {
        let now = Instant::now();
        if now >= leave_at {
            break;
        }
        let may_ask = newest.is_none() && !link.is_pending(subscription);
        if may_ask && now >= ask_at && link.can_publish(Topic::Join) {
            link.publish(&request).await?;
            unanswered += 1;
            ask_at = now + settings.repeat_mac;
        }
        // Without room to ask again, an acknowledgement will wake us.
        let wake_at = if may_ask && ask_at > now { ask_at.min(leave_at) } else { leave_at };
        let Ok(received) = with_deadline(wake_at, link.next()).await else { continue };
        if liveness.heard_at() > heard_at {
            heard_at = liveness.heard_at();
            supervisor.progress();
        }
        match received {
            Ok(Some(HubMessage::NameAssign(to, pair))) if to.mac() == settings.mac => {
                unanswered = unanswered.saturating_sub(1);
                let wait = if unanswered > 0 { STRAGGLERS } else { LINGER };
                leave_at = Instant::now() + wait;
                newest = Some(pair);
            }
            Ok(_) => {}
            // What was assigned stays assigned, whatever becomes of the line.
            Err(fault) => return newest.ok_or(fault),
        }
    }
    let pair = newest.ok_or(Fault::TimedOut(Step::Join))?;
    link.disconnect().await;
    Ok(pair)
}
