//! How many readings a second go on to the medium, and what they cost.

use crate::{
    Outcome,
    board::Pace,
    fleet::Fleet,
    hub::Hub,
    peer::Peer,
    table::{Figure, Table, Unit},
};
use rumqttc::v5::mqttbytes::QoS;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Boards that send as fast as they are acknowledged, and readings of each.
const BURST: (u32, u32) = (50, 1_000);

/// Boards at their own pace of a reading a second, and for how many seconds: 10,000 readings.
const PACED: (u32, u64) = (500, 20);

/// What the processor time is given for.
const READINGS: f64 = 10_000.0;

/// What a burst did.
struct Burst {
    per_second: f64,
    /// In seconds.
    cpu: f64,
    bytes_per_reading: f64,
}

pub(crate) async fn take(table: &mut Table) -> Outcome<()> {
    let ours = burst_to_hub().await?;
    let theirs = burst_to_peer().await?;
    table.push(
        Figure::new(
            "readings at QoS 1, on the medium when acknowledged",
            Unit::PerSecond,
            ours.per_second,
        )
        .beside(theirs.per_second),
    );
    let all = f64::from(BURST.0 * BURST.1);
    table.push(
        Figure::new(
            "CPU for 10,000 readings at QoS 1, as fast as it goes",
            Unit::CpuSeconds,
            ours.cpu * READINGS / all,
        )
        .beside(theirs.cpu * READINGS / all)
        .at_most(0.5),
    );
    table.push(Figure::new(
        "written to the medium for a reading at QoS 1, as fast as it goes",
        Unit::Bytes,
        ours.bytes_per_reading,
    ));
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let level = u8::from(qos != QoS::AtMostOnce);
        let (cpu, bytes) = paced_to_hub(qos).await?;
        let name = format!("CPU for 10,000 readings at QoS {level}, 500 boards, one a second each");
        table.push(
            Figure::new(name, Unit::CpuSeconds, cpu).beside(paced_to_peer(qos).await?).at_most(0.5),
        );
        let name = format!(
            "written to the medium for a reading at QoS {level}, 500 boards, one a second each"
        );
        table.push(Figure::new(name, Unit::Bytes, bytes));
    }
    table.note(
        "Readings: the peer stores nothing, the hub acknowledges at QoS 1 what is on the medium. The peer's CPU is mosquitto's \
         and its subscriber's; the paced figures include what it costs to keep 500 boards connected for 20 s.",
    );
    Ok(())
}

async fn burst_to_hub() -> Outcome<Burst> {
    let hub = Hub::start().await?;
    let (boards, each) = BURST;
    let mut fleet = Fleet::new(hub.mqtt, 50, true)?;
    fleet.bring_online(boards).await?;
    let (cpu, written) = (hub.process.cpu()?, hub.process.written()?);
    let time = burst(&fleet).await?;
    let cpu = hub.process.cpu()? - cpu;
    let written = hub.process.written()? - written;
    fleet.check()?;
    for board in 0..boards {
        check_recorded(board, u64::from(each), hub.recorded(board).await?)?;
    }
    let all = f64::from(boards * each);
    let bytes_per_reading = written as f64 / all;
    Ok(Burst { per_second: all / time.as_secs_f64(), cpu, bytes_per_reading })
}

async fn burst_to_peer() -> Outcome<Burst> {
    let peer = Peer::start().await?;
    let mut fleet = Fleet::new(peer.mqtt, 20, false)?;
    fleet.bring_online(BURST.0).await?;
    let cpu = peer.cpu()?;
    let begun = Instant::now();
    burst(&fleet).await?;
    let all = u64::from(BURST.0 * BURST.1);
    let mut taken = peer.subscriber.readings();
    timeout(Duration::from_mins(1), taken.wait_for(|count| *count >= all)).await??;
    let time = begun.elapsed();
    let cpu = peer.cpu()? - cpu;
    Ok(Burst { per_second: all as f64 / time.as_secs_f64(), cpu, bytes_per_reading: 0.0 })
}

/// Lets every board send its readings; the time until the last was acknowledged.
async fn burst(fleet: &Fleet) -> Outcome<Duration> {
    let wanted = fleet.acknowledged_now() + u64::from(BURST.0 * BURST.1);
    let begun = Instant::now();
    fleet.pace(Pace::Burst(BURST.1));
    fleet.acknowledged(wanted, Duration::from_mins(2)).await?;
    Ok(begun.elapsed())
}

/// CPU seconds for 10,000 readings at the boards' pace, and bytes written for each.
async fn paced_to_hub(qos: QoS) -> Outcome<(f64, f64)> {
    let hub = Hub::start().await?;
    let (boards, seconds) = PACED;
    let mut fleet = Fleet::new(hub.mqtt, 200, true)?;
    fleet.bring_online(boards).await?;
    sleep(Duration::from_secs(1)).await;
    let (cpu, written) = (hub.process.cpu()?, hub.process.written()?);
    let sent = paced(&fleet, qos, seconds).await?;
    let cpu = hub.process.cpu()? - cpu;
    let written = (hub.process.written()? - written) as f64;
    fleet.check()?;
    let mut recorded = 0;
    for board in 0..boards {
        recorded += hub.recorded(board).await?;
    }
    if recorded != sent {
        return Err(format!("{recorded} of {sent} readings were recorded").into());
    }
    Ok((cpu * READINGS / sent as f64, written / sent as f64))
}

/// CPU seconds for 10,000 readings at the boards' pace.
async fn paced_to_peer(qos: QoS) -> Outcome<f64> {
    let peer = Peer::start().await?;
    let (boards, seconds) = PACED;
    let mut fleet = Fleet::new(peer.mqtt, 20, false)?;
    fleet.bring_online(boards).await?;
    sleep(Duration::from_secs(1)).await;
    let cpu = peer.cpu()?;
    let sent = paced(&fleet, qos, seconds).await?;
    let cpu = peer.cpu()? - cpu;
    fleet.check()?;
    Ok(cpu * READINGS / sent as f64)
}

/// Lets the boards report for that long, and the last reports arrive; how many they were.
async fn paced(fleet: &Fleet, qos: QoS, seconds: u64) -> Outcome<u64> {
    let acknowledged = fleet.acknowledged_now();
    fleet.pace(Pace::Every(Duration::from_secs(1), qos));
    sleep(Duration::from_secs(seconds)).await;
    fleet.pace(Pace::Silent);
    // At QoS 0 nothing tells that the last has arrived: the hub commits after a second at most.
    sleep(Duration::from_millis(1_500)).await;
    let sent = fleet.sent();
    if qos == QoS::AtLeastOnce {
        fleet.acknowledged(acknowledged + sent, Duration::from_secs(10)).await?;
    }
    Ok(sent)
}

fn check_recorded(board: u32, sent: u64, recorded: u64) -> Outcome<()> {
    if recorded == sent {
        Ok(())
    } else {
        Err(format!("{recorded} of {sent} readings of board {board} were recorded").into())
    }
}
