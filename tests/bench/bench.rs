//! The figures that Capteur promises, each beside mosquitto with a subscriber of the same kind, or
//! beside `SQLite` where it is about what is stored.
//!
//! ```text
//! scripts/bench                 all figures
//! scripts/bench memory led      some of them
//! ```
//!
//! Prints a Markdown table. A benchmark reports: a missed goal fails nothing. The exit status is
//! not 0 only where something did not work, such as a board that never came online or a command
//! that was not confirmed.
//!
//! # Layout
//!
//! - [`power_on`], [`led`], [`readings`], [`memory`], [`size`] and [`store`]: the figures
//! - [`table`]: figures, ratios and goals as text
//! - [`timings`]: percentiles of what was measured
//! - [`hub`]: the hub as a child process, called over HTTP
//! - [`events`]: the hub's SSE stream, to see boards come online
//! - [`peer`]: mosquitto as a child process
//! - [`subscriber`]: the session protocol over rumqttc, without a store: what stands behind mosquitto
//! - [`fleet`], [`board`] and [`line`]: the boards, and their side of the wire
//! - [`store_worker`]: the store as a child process
//! - [`sqlite`]: its peer
//! - [`sensor`]: the readings of both, made up
//! - [`process`]: what a process uses, from `/proc`
//! - [`machine`]: what the figures were taken on
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "prints figures for people"
)]

mod board;
mod events;
mod fleet;
mod hub;
mod led;
mod line;
mod machine;
mod memory;
mod peer;
mod power_on;
mod process;
mod readings;
#[path = "../../src/store/sample.rs"]
mod sensor;
mod size;
mod sqlite;
mod store;
mod store_worker;
mod subscriber;
mod table;
mod timings;

use std::process::ExitCode;
use table::Table;

/// What went wrong, in words; a benchmark has nobody to tell but a person.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

/// The figures by name, in the order in which they are taken.
const FIGURES: [&str; 6] = ["size", "memory", "power-on", "led", "readings", "store"];

fn main() -> ExitCode {
    // Cargo passes `--bench` to every benchmark.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some((store_worker::ARGUMENT, job)) =
        wanted.split_first().map(|(word, rest)| (word.as_str(), rest))
    {
        return match store_worker::work(job) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("bench: {}: {failure}", store_worker::ARGUMENT);
                ExitCode::FAILURE
            }
        };
    }
    if let Some(unknown) = wanted.iter().find(|word| !FIGURES.contains(&word.as_str())) {
        eprintln!("bench: no figure {unknown:?}: there are {}", FIGURES.join(", "));
        return ExitCode::from(64);
    }
    let mut table = Table::default();
    let mut failed = false;
    println!("{}\n", machine::describe());
    for figure in FIGURES {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == figure) {
            continue;
        }
        eprintln!("bench: {figure}");
        if let Err(failure) = take(figure, &mut table) {
            eprintln!("bench: {figure}: {failure}");
            failed = true;
        }
    }
    print!("{table}");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn take(figure: &str, table: &mut Table) -> Outcome<()> {
    if figure == "store" {
        return store::take(table);
    }
    table.beside("mosquitto + subscriber");
    // One thread: this process also is the boards and the peer's subscriber, and must not take more of
    // the machine than it needs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match figure {
            "size" => size::take(table),
            "memory" => memory::take(table).await,
            "power-on" => power_on::take(table).await,
            "led" => led::take(table).await,
            _ => readings::take(table).await,
        }
    })
}
