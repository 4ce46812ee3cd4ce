//! Power cuts, replayed: what a child does to the files is recorded, and the store is opened on
//! what a cut at a random instant would have left of it.
//!
//! A recording begins where a cut of the one before left off, so that there are cuts upon cuts; and
//! many of them fall while the store opens.
//!
//! `CAPTEUR_POWER_CUTS` sets the number of cuts (40), `CAPTEUR_POWER_CUT_SEED` the seed that the
//! instants and what survives are drawn from. How the child's threads take turns is not in it: of a
//! cut that fails, the medium is kept.

use crate::{
    child,
    image::Image,
    medium::{Medium, Model},
    random::Random,
    recording::{Record, Recorder, Recording},
    tally::Tally,
    workload::{self, Held},
};
use capteur::store::{Store, Urgency};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

const TEST: &str =
    "power_cut::nothing_acknowledged_is_lost_and_nothing_doubled_when_the_power_is_cut";
/// Recordings that follow one another on one medium; then a new one begins.
const RECORDINGS: usize = 5;
/// The most things that a child does.
const RECORDS_MAX: usize = 800;

/// A cut, and what came of it.
struct Cut {
    model: Model,
    /// Whether it came while the store was being opened.
    opening: bool,
    /// What the store then had; or why that did not do.
    outcome: Result<Held, String>,
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_doubled_when_the_power_is_cut() {
    child::write_if_child();
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse().unwrap());
    let count = number("CAPTEUR_POWER_CUTS").unwrap_or(40);
    let seed = number("CAPTEUR_POWER_CUT_SEED").unwrap_or_else(Random::seed);
    println!("CAPTEUR_POWER_CUT_SEED={seed}");
    let mut random = Random::new(seed);
    let recorder = Recorder::compile();
    let mut cuts: Vec<Cut> = Vec::new();
    let (mut medium, mut least) = (Image::default(), 0);
    for number in 0.. {
        if cuts.len() as u64 >= count {
            break;
        }
        if number % RECORDINGS == 0 {
            (medium, least) = (Image::default(), 0);
        }
        let runs = 1 + usize::from(random.one_in(3));
        let runs: Vec<_> = (0..runs).map(|_| 1 + random.below(RECORDS_MAX)).collect();
        let recording = recorder.record(TEST, medium.clone(), &runs);
        let (mut left, made): (Vec<_>, Vec<_>) =
            cut(&recording, least, &mut random).into_iter().unzip();
        // The next recording goes on from one of them.
        let chosen = random.below(made.len());
        if let Ok(held) = made[chosen].outcome {
            (medium, least) = (left.swap_remove(chosen), held.submissions);
        }
        cuts.extend(made);
    }
    println!("{}", Tally::HEAD);
    for model in Model::EACH {
        let mut tally = Tally::default();
        for cut in cuts.iter().filter(|cut| cut.model == model) {
            tally.add(cut.opening, cut.outcome.as_ref().ok());
        }
        println!("{}", tally.row(&model.to_string()));
    }
    let failures: Vec<_> = cuts.iter().filter_map(|cut| cut.outcome.as_ref().err()).collect();
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
    let mut whole = cuts.iter().flat_map(|cut| &cut.outcome);
    assert!(whole.any(|held| held.sealed > 0), "no recording got as far as to seal");
}

/// Makes a cut of each model, for a store that held so many submissions to begin with; returns with
/// each what it left.
fn cut(recording: &Recording, mut least: u64, random: &mut Random) -> Vec<(Image, Cut)> {
    let records = &recording.records;
    let openings = openings(records);
    let mut plan: Vec<(usize, Model)> = Model::EACH
        .into_iter()
        .map(|model| {
            let span = if random.one_in(3) {
                openings[random.below(openings.len())].clone()
            } else {
                0..records.len() + 1
            };
            // Mostly when something has just happened that no sync covers yet.
            let busy = |&instant: &usize| instant > 0 && records[instant - 1].is_change();
            let busy: Vec<usize> = span.clone().filter(busy).collect();
            let instant = if busy.is_empty() || random.one_in(4) {
                span.start + random.below(span.len())
            } else {
                busy[random.below(busy.len())]
            };
            (instant, model)
        })
        .collect();
    plan.sort_by_key(|&(instant, _)| instant);
    let mut medium = Medium::before(recording);
    let mut cuts = Vec::new();
    let mut plan = plan.into_iter().peekable();
    for instant in 0..=records.len() {
        while let Some((_, model)) = plan.next_if(|&(planned, _)| planned == instant) {
            let opening = openings.iter().any(|opening| opening.contains(&instant));
            let image = medium.after_cut(model, random);
            let outcome = verify(&image, least).map_err(|why| {
                let records = records.len();
                format!("model {model}, after {instant} of {records} records: {why}")
            });
            cuts.push((image, Cut { model, opening, outcome }));
        }
        let Some(record) = records.get(instant) else { break };
        medium.take_in(record);
        if let Record::Said(text) = record {
            least = text.lines().filter_map(child::holds).fold(least, u64::max);
        }
    }
    let all = medium.after_cut(Model::All, random);
    let missed = all.differences(&recording.after);
    assert!(missed.is_empty(), "changes of {missed:?} went round the recorder");
    cuts
}

/// Where in a recording the store was being opened.
fn openings(records: &[Record]) -> Vec<Range<usize>> {
    let mut openings = Vec::new();
    let mut start = None;
    for (instant, record) in records.iter().enumerate() {
        match record {
            // The one before may have ended first.
            Record::Started => openings.extend(start.replace(instant).map(|start| start..instant)),
            Record::Said(text) if text.lines().any(|line| child::holds(line).is_some()) => {
                openings.extend(start.take().map(|start| start..instant + 1));
            }
            _ => {}
        }
    }
    openings.extend(start.map(|start| start..records.len() + 1));
    openings
}

/// Opens the store that a cut left, compares it, and writes on; returns what it held.
fn verify(image: &Image, least: u64) -> Result<Held, String> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    image.write(&root);
    catch_unwind(AssertUnwindSafe(|| child::runtime().block_on(open_and_compare(&root, least))))
        .unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or_else(|| panic.downcast_ref().copied()).unwrap_or("a panic").to_owned())
        })
        .map_err(|why| {
            let kept = tempfile::Builder::new().prefix("capteur-power-cut-").tempdir().unwrap();
            let kept = kept.keep().join("root");
            image.write(&kept);
            format!("{why}; the medium is kept in {}", kept.display())
        })
}

async fn open_and_compare(root: &Path, least: u64) -> Result<Held, String> {
    let (store, contents) = Store::open(&root.join("store"), &workload::options())
        .map_err(|error| error.to_string())?;
    let held = workload::compare(&store, &contents, least).await;
    let next = workload::submission(held.submissions);
    store.submit(next, Urgency::Now, None).await.map_err(|error| error.to_string())?;
    store.close().await.map_err(|error| error.to_string())?;
    Ok(held)
}
