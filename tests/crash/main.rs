//! The store under SIGKILL and under power cuts, its content compared to the last reading.
//!
//! A child process writes numbered submissions, all of each a function of its number, and says
//! which are on the medium. Its end comes at a random instant. The store has to open, and to hold
//! exactly the submissions before some number: all that were said to be there, none twice, none in
//! part, none out of order; and what it reckons from them has to agree.
//!
//! `CAPTEUR_KILL_ROUNDS` (20) and `CAPTEUR_POWER_CUTS` (40) say how much is tried;
//! `scripts/crash` is the long run.
//!
//! # Layout
//!
//! - `workload`: the submissions, and the comparison of a store with them
//! - `child`: the process that writes them
//! - `kill`: SIGKILL at random moments
//! - `power_cut`: cuts replayed at random instants of what was recorded
//! - `recorder.c`, `recording`: what a child does to the files, in order
//! - `medium`: what of that a power cut leaves
//! - `image`: some files and folders, in memory
//! - `tally`: what was tried
//! - `random`: chance that a seed repeats
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod child;
mod image;
mod kill;
mod medium;
mod power_cut;
mod random;
mod recording;
mod tally;
mod workload;
