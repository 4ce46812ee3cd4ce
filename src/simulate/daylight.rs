//! How bright it is, by day, by cloud and by window.

use super::random::{mix, unit};
use capteur_protocol::Percent;
use std::{f64::consts::TAU, time::Duration};

/// A demonstration begins in the morning: there is something to see.
const BEGINS_AT: f64 = 9.0 / 24.0;

/// What is left of the light at night: a lamp in the street.
const NIGHT: f64 = 0.02;

/// The light that one board sees.
#[derive(Debug, Clone)]
pub(super) struct Daylight {
    seed: u64,
    day: Duration,
    /// How much of the sky the board's window shows.
    window: f64,
}

impl Daylight {
    /// The light of a place, given by the seed, in days of this length.
    pub(super) fn new(seed: u64, day: Duration) -> Self {
        Self { seed, day, window: 0.6 + 0.4 * unit(mix(seed)) }
    }

    /// The level so long after power-on. Follows from the seed and the moment alone.
    pub(super) fn level(&self, elapsed: Duration) -> Percent {
        // A day of no length has no night either.
        let days = BEGINS_AT
            + if self.day.is_zero() { 0.0 } else { elapsed.as_secs_f64() / self.day.as_secs_f64() };
        let sun = sun(days.fract());
        let clouds = 1.0 - 0.7 * self.clouds(days);
        let bright = NIGHT + (1.0 - NIGHT) * sun * clouds * self.window;
        let grain = 0.02 * (self.noise(days * 5_000.0, 3) - 0.5);
        percent(bright + grain)
    }

    /// 0 under a clear sky, 1 under a closed one: banks that take an hour to pass, and scraps.
    fn clouds(&self, days: f64) -> f64 {
        let cover = 0.7 * self.noise(days * 24.0, 1) + 0.3 * self.noise(days * 144.0, 2);
        ((cover - 0.35) / 0.4).clamp(0.0, 1.0)
    }

    /// Random heights at whole numbers, and a smooth curve through them.
    fn noise(&self, at: f64, layer: u64) -> f64 {
        let height = |n: f64| unit(mix(mix(self.seed ^ layer) ^ n.to_bits()));
        let (from, part) = (at.floor(), at.fract());
        let smooth = part * part * (3.0 - 2.0 * part);
        height(from) + (height(from + 1.0) - height(from)) * smooth
    }
}

/// The height of the sun at this part of the day: up from 6 to 18 o'clock, with a twilight.
fn sun(part: f64) -> f64 {
    let height = -(part * TAU).cos();
    ((height + 0.1) / 1.1).max(0.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
fn percent(level: f64) -> Percent {
    Percent::new((level * 100.0).round().clamp(0.0, 100.0) as u8).unwrap_or(DARK)
}

const DARK: Percent = match Percent::new(0) {
    Some(dark) => dark,
    None => unreachable!(),
};

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at_hour(light: &Daylight, hour: f64) -> u8 {
        light.level(DAY.mul_f64((hour / 24.0 - BEGINS_AT).rem_euclid(1.0))).get()
    }

    #[test]
    fn nights_are_dark_and_noons_are_bright() {
        for seed in 0..200 {
            let light = Daylight::new(seed, DAY);
            assert!(at_hour(&light, 1.0) <= 4, "seed {seed}");
            assert!(at_hour(&light, 12.0) >= 15, "seed {seed}");
        }
    }

    #[test]
    fn the_light_follows_from_seed_and_moment_alone() {
        let (one, same, other) =
            (Daylight::new(1, DAY), Daylight::new(1, DAY), Daylight::new(2, DAY));
        let curve = |light: &Daylight| -> Vec<Percent> {
            (0..24).map(|hour| light.level(Duration::from_secs(hour * 3_600))).collect()
        };
        assert_eq!(curve(&one), curve(&same));
        assert_ne!(curve(&one), curve(&other));
    }

    #[test]
    fn the_light_does_not_jump() {
        let light = Daylight::new(3, DAY);
        let levels: Vec<u8> =
            (0..86_400 / 30).map(|n| light.level(Duration::from_secs(n * 30)).get()).collect();
        let steps = levels.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        assert!(steps.max() <= Some(12));
    }

    #[test]
    fn clouds_pass() {
        // Around noon the sun stands nearly still: what changes is the sky.
        let spread = |seed| {
            let light = Daylight::new(seed, DAY);
            let levels: Vec<u8> =
                (0..60).map(|n| at_hour(&light, 11.0 + f64::from(n) / 30.0)).collect();
            levels.iter().max().unwrap() - levels.iter().min().unwrap()
        };
        assert!((0..50).filter(|seed| spread(*seed) >= 10).count() >= 25);
    }

    #[test]
    fn a_day_without_length_is_an_everlasting_morning() {
        let light = Daylight::new(1, Duration::ZERO);
        assert_eq!(light.level(Duration::ZERO), light.level(Duration::from_secs(1_000_000)));
    }
}
