//! How long an LED command takes from the order to the confirmation.

use crate::{
    Outcome,
    board::Pace,
    fleet::Fleet,
    hub::Hub,
    peer::Peer,
    table::{Figure, Table, Unit},
    timings::Timings,
};
use rumqttc::v5::mqttbytes::QoS;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Orders in each case.
const ORDERS: u32 = 500;

/// How many boards there are, in turn.
const BOARDS: [u32; 4] = [1, 100, 500, 1_000];

/// The boards' pace in the cases in which they send readings.
const PACE: Pace = Pace::Every(Duration::from_secs(1), QoS::AtMostOnce);

/// Where the goal holds: 500 boards that send readings.
const GOAL_AT: (u32, bool) = (500, true);

pub(crate) async fn take(table: &mut Table) -> Outcome<()> {
    let hub = Hub::start().await?;
    let mut fleet = Fleet::new(hub.mqtt, 200, true)?;
    let ours = measure(&mut fleet, async |board, on| hub.switch(board, on).await).await?;
    drop((fleet, hub));

    let peer = Peer::start().await?;
    // Few at once, and deaf to new names once online: else mosquitto sends every assignment to all.
    let mut fleet = Fleet::new(peer.mqtt, 20, false)?;
    let theirs =
        measure(&mut fleet, async |board, on| peer.subscriber.switch(board, on).await).await?;

    for ((case, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
        let (boards, sending) = case;
        let how = if sending { "a reading/s each" } else { "idle" };
        for percent in [50, 99] {
            let name = format!("LED order to confirmation, {boards} boards, {how}, p{percent}");
            let figure = Figure::new(name, Unit::Milliseconds, ours.percentile_ms(percent))
                .beside(theirs.percentile_ms(percent));
            let goal_holds = case == GOAL_AT && percent == 99;
            table.push(if goal_holds { figure.below(5.0) } else { figure });
        }
    }
    table.note(format!(
        "LED: {ORDERS} orders a case, one after the other, each to another board. The hub is called with \
         `PUT …/led` over one HTTP connection; the subscriber is called in-process and publishes on `led/command`."
    ));
    Ok(())
}

/// Takes all cases, with the fleet growing and falling silent in between.
async fn measure(
    fleet: &mut Fleet,
    mut switch: impl AsyncFnMut(u32, bool) -> Outcome<()>,
) -> Outcome<Vec<((u32, bool), Timings)>> {
    let mut cases = Vec::new();
    for boards in BOARDS {
        fleet.bring_online(boards).await?;
        for sending in [false, true] {
            fleet.pace(if sending { PACE } else { Pace::Silent });
            // The joins' last echoes, and every board's first reading.
            sleep(Duration::from_millis(1_500)).await;
            let mut timings = Vec::new();
            for order in 0..ORDERS {
                // A prime stride visits the boards in no order that a cache could learn.
                let board = (order * 7_919) % boards;
                // Every board's orders alternate between on and off.
                let on = (order / boards).is_multiple_of(2);
                let begun = Instant::now();
                switch(board, on).await?;
                timings.push(begun.elapsed());
            }
            cases.push(((boards, sending), Timings::new(timings)));
        }
        fleet.pace(Pace::Silent);
    }
    fleet.check()?;
    Ok(cases)
}
