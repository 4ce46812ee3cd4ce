//! ESP32s on a host, for demos and tests: the real device logic with simulated pins.
//!
//! A [`Fleet`] switches thousands of boards on in one process. Each runs
//! [`capteur_node::Node`], the logic that runs on the chips, over TCP; its LED is a shared state,
//! its button is pressed by a simulated finger, its photoresistor sees a sun and clouds, and its
//! network can be cut. Everything that happens at random follows from [`Options::seed`].
//!
//! # Layout
//!
//! - [`options`]: how many boards, and what happens to them
//! - [`fleet`]: the boards and the threads that they live on
//! - [`board`]: one board from outside: what it does, and hands that reach for its pins
//! - `life`: one board from inside: its device logic and the world around it
//! - `pins`: LED, button and photoresistor
//! - `network`: TCP streams that can be cut
//! - `daylight`: how bright it is, by day, by cloud and by window
//! - `random`: the one source of chance
//! - `clock`: the time driver of the device logic, for any number of boards

pub mod board;
mod clock;
mod daylight;
pub mod fleet;
mod life;
mod network;
pub mod options;
mod pins;
mod random;

pub use board::{Board, Counts, Cut, Phase, State};
pub use fleet::Fleet;
pub use options::Options;

use std::{io, time::Duration};

/// How often [`run`] looks whether there is something to tell.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How long [`run`] waits for a first board before it says that the hub may not be there.
const HUB_MISSED_AFTER: Duration = Duration::from_secs(5);

/// Runs a fleet until `shutdown` completes, and logs how many boards are online when that changes,
/// and again and again while none is.
///
/// # Errors
///
/// The operating system gives no thread to run the boards on.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let broker = options.broker.clone();
    let fleet = Fleet::start(options)?;
    let devices = fleet.boards().len();
    let report = async {
        let mut online = fleet.watch_online();
        loop {
            let count = *online.borrow_and_update();
            tracing::info!("{count} of {devices} boards are online");
            tokio::time::sleep(REPORT_EVERY).await;
            loop {
                match tokio::time::timeout(HUB_MISSED_AFTER, online.changed()).await {
                    Ok(Ok(())) => break,
                    // All threads have ended; nothing changes any more.
                    Ok(Err(_)) => std::future::pending().await,
                    Err(_) if count == 0 => {
                        tracing::warn!("no board is online: is there a hub at {broker}?");
                    }
                    Err(_) => {}
                }
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = report => {}
    }
    fleet.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests;
