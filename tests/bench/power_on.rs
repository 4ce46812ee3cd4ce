//! How long 1,000 boards take from power-on to online, all at once.

use crate::{
    Outcome,
    events::Observer,
    fleet::Fleet,
    hub::{BINARY, Hub},
    peer::Peer,
    process::Process,
    table::{Figure, Table, Unit},
};
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

const BOARDS: u32 = 1_000;

/// How long boards may take; beyond that, how many came says enough.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Whose boards are powered on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logic {
    /// `capteur simulate`: the firmware's own logic, with its pauses.
    Firmware,
    /// The exchange alone.
    Bare,
}

pub(crate) async fn take(table: &mut Table) -> Outcome<()> {
    for (logic, name) in [
        (Logic::Firmware, "1,000 boards at once, power-on to online, firmware's logic"),
        (Logic::Bare, "1,000 boards at once, power-on to online, exchange without pauses"),
    ] {
        let hub = Hub::start().await?;
        let observer = Observer::start(&hub).await?;
        let time = power_on(logic, hub.mqtt, observer.online()).await?;
        let figure = Figure::new(name, Unit::Seconds, time.map_err(words)?.as_secs_f64());
        drop((observer, hub));

        let peer = Peer::start().await?;
        let beside = power_on(logic, peer.mqtt, peer.subscriber.online()).await?;
        table.push(
            match beside {
                Ok(time) => figure.beside(time.as_secs_f64()),
                Err(came) => figure.beside_words(words(came)),
            }
            .at_most(2.0),
        );
    }
    table.note(
        "Power-on: mosquitto sends every assignment to every board that waits for one, since the topic is shared; \
         the hub sends it to the board that it names.",
    );
    Ok(())
}

fn words(came: usize) -> String {
    format!("{came} of {BOARDS} after {} s", GIVE_UP_AFTER.as_secs())
}

/// The time until all boards were online, or how many were when we gave up.
async fn power_on(
    logic: Logic,
    broker: SocketAddr,
    mut online: watch::Receiver<usize>,
) -> Outcome<Result<Duration, usize>> {
    let begun = Instant::now();
    let mut fleet = None;
    let mut simulator = None;
    match logic {
        Logic::Bare => {
            let boards = fleet.insert(Fleet::new(broker, usize::try_from(BOARDS)?, true)?);
            boards.grow(BOARDS)?;
        }
        Logic::Firmware => {
            let arguments = ["--broker", &broker.to_string(), "--devices", &BOARDS.to_string()];
            simulator = Some(Process::start(
                Command::new(BINARY)
                    .arg("simulate")
                    .args(arguments)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null()),
            )?);
        }
    }
    let wanted = usize::try_from(BOARDS)?;
    let reached = timeout(GIVE_UP_AFTER, online.wait_for(|count| *count >= wanted)).await;
    let reached = reached.map(|seen| seen.map(drop));
    let time = begun.elapsed();
    if let Some(failures) = fleet.as_ref().map(Fleet::failures).filter(|count| *count > 0) {
        eprintln!("bench: {failures} connections of boards failed");
    }
    if let Some(simulator) = &mut simulator {
        simulator.check()?;
    }
    match reached {
        Ok(seen) => seen.map(|()| Ok(time)).map_err(Into::into),
        Err(_) => Ok(Err(*online.borrow())),
    }
}
