//! SIGKILL at random moments.

use crate::{child, random::Random, tally::Tally, workload};
use capteur::store::Store;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc,
    time::Duration,
};

const TEST: &str =
    "kill::nothing_acknowledged_is_lost_and_nothing_doubled_when_the_process_is_killed";
/// Rounds that add to the same store, and to what there is to compare.
const ROUNDS_EACH: usize = 10;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_doubled_when_the_process_is_killed() {
    child::write_if_child();
    let rounds = std::env::var("CAPTEUR_KILL_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let runtime = child::runtime();
    let mut random = Random::new(Random::seed());
    let mut dir = tempfile::tempdir().unwrap();
    let (mut least, mut tally) = (0, Tally::default());
    for round in 0..rounds {
        if round % ROUNDS_EACH == 0 {
            dir = tempfile::tempdir().unwrap();
            least = 0;
        }
        // Some are killed while they open, or soon after, and some in a long rest.
        let early = round % 4 == 3;
        let most = match round % 8 {
            3 | 7 => 20_000,
            5 => 4_000_000,
            _ => 300_000,
        };
        let patience = Duration::from_micros(random.below(most).try_into().unwrap());
        let said = run_and_kill(dir.path(), early, patience);
        least = said.unwrap_or(0).max(least);
        let (store, contents) = Store::open(dir.path(), &workload::options())
            .unwrap_or_else(|error| panic!("round {round}, killed after {patience:?}: {error}"));
        let held = runtime.block_on(workload::compare(&store, &contents, least));
        runtime.block_on(store.close()).unwrap();
        least = held.submissions;
        tally.add(said.is_none(), Some(&held));
    }
    println!("{}\n{}", Tally::HEAD, tally.row("SIGKILL"));
    assert!(tally.sealed() > 0, "no round got as far as to seal");
}

/// Runs a child for a while, from when it is open on or, where `early`, from its start; returns
/// what it last said that the store holds.
fn run_and_kill(folder: &Path, early: bool, patience: Duration) -> Option<u64> {
    let mut child = child::command(TEST, folder).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last = None;
        for line in output.lines().map_while(Result::ok) {
            if let Some(next) = child::holds(&line) {
                assert!(last.is_none_or(|last| next > last), "callbacks are out of order");
                last = Some(next);
                let _ = sender.send(());
            }
        }
        last
    });
    if !early {
        let opened = receiver.recv_timeout(Duration::from_mins(1));
        assert!(opened.is_ok(), "the child does not open the store: {:?}", child.try_wait());
    }
    // Nothing is sent after that: this only waits.
    let (_silent, silence) = mpsc::channel::<()>();
    let _ = silence.recv_timeout(patience);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}
