//! How much memory boards take.

use crate::{
    Outcome,
    fleet::Fleet,
    hub::Hub,
    peer::Peer,
    process::Process,
    table::{Figure, Table, Unit},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;

/// How many boards there are, in turn.
const BOARDS: [u32; 2] = [1_000, 5_000];

/// How long a process is left in peace before its memory is read: the boards' joins are on the medium
/// and their last echoes are gone.
const SETTLE: Duration = Duration::from_secs(4);

/// Memory in bytes.
#[derive(Debug, Clone, Copy)]
struct Memory {
    resident: u64,
    proportional: u64,
}

/// Memory over the life of one process.
#[derive(Debug)]
struct Course {
    idle: Memory,
    with: [Memory; BOARDS.len()],
    after: Memory,
}

impl Course {
    /// What a board adds to the idle process, in bytes.
    fn per_board(&self, index: usize) -> f64 {
        let added = self.with[index].resident.saturating_sub(self.idle.resident);
        added as f64 / f64::from(BOARDS[index])
    }
}

pub(crate) async fn take(table: &mut Table) -> Outcome<()> {
    let hub = Hub::start().await?;
    let ours =
        measure(&hub.process, hub.mqtt, true, async |board| hub.check_online(board).await).await?;
    drop(hub);
    let peer = Peer::start().await?;
    let theirs = measure(&peer.process, peer.mqtt, false, async |_| Ok(())).await?;

    let mut line = |name: &str, ours: Memory, theirs: Memory| {
        let figure = |name, ours, theirs| {
            Figure::new(name, Unit::Megabytes, ours as f64 / 1e6).beside(theirs as f64 / 1e6)
        };
        let resident = figure(format!("memory, {name}, RSS"), ours.resident, theirs.resident);
        table.push(if name == "idle" { resident.below(15.0) } else { resident });
        table.push(figure(format!("memory, {name}, PSS"), ours.proportional, theirs.proportional));
    };
    line("idle", ours.idle, theirs.idle);
    for (index, boards) in BOARDS.into_iter().enumerate() {
        line(&format!("{boards} boards"), ours.with[index], theirs.with[index]);
    }
    line("after they have left", ours.after, theirs.after);
    for (index, boards) in BOARDS.into_iter().enumerate() {
        let name = format!("memory for a board, of {boards}, RSS");
        table.push(
            Figure::new(name, Unit::Kilobytes, ours.per_board(index) / 1e3)
                .beside(theirs.per_board(index) / 1e3)
                .at_most(4.0),
        );
    }
    table.note(
        "Memory: the peer's is mosquitto's alone, without its subscriber, which has the names and sessions; its boards \
         subscribe to one topic, the hub's to two, as our firmware does.",
    );
    Ok(())
}

async fn measure(
    process: &Process,
    broker: SocketAddr,
    hears_names: bool,
    mut check_online: impl AsyncFnMut(u32) -> Outcome<()>,
) -> Outcome<Course> {
    let read = || -> Outcome<Memory> {
        Ok(Memory { resident: process.resident()?, proportional: process.proportional()? })
    };
    sleep(SETTLE).await;
    let idle = read()?;
    let mut fleet = Fleet::new(broker, 20, hears_names)?;
    let mut with = [idle; BOARDS.len()];
    for (boards, with) in BOARDS.into_iter().zip(&mut with) {
        fleet.bring_online(boards).await?;
        sleep(SETTLE).await;
        *with = read()?;
        fleet.check()?;
        // Afterwards and only some, since answers take memory too.
        for board in (0..boards).step_by(100) {
            check_online(board).await?;
        }
    }
    drop(fleet);
    sleep(SETTLE).await;
    Ok(Course { idle, with, after: read()? })
}
