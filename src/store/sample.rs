//! Readings such as a photoresistor's, made up: what sizes are measured with.
//!
//! One a second with up to 20 ms of jitter to either side; the light follows the day, clouds pass
//! in minutes, and the sensor adds noise of a standard deviation of 0.7.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "random numbers become fractions, and those readings"
)]

use std::f64::consts::TAU;

/// When the first second is, in ms since the Unix epoch.
pub(super) const BEGIN: i64 = 1_700_000_000_000;

/// The reading of a series in some second: time in ms since the Unix epoch, and value.
pub(super) fn reading(series: u32, second: u32) -> (i64, u8) {
    let jitter = 40.0 * uniform(1, series, second) - 20.0;
    let at = BEGIN + i64::from(series) + i64::from(second) * 1000;
    let value = light(series, second) + 0.7 * normal(series, second);
    (at + jitter.floor() as i64, value.round().clamp(0.0, 100.0) as u8)
}

fn light(series: u32, second: u32) -> f64 {
    let time_of_day = f64::from(second) / 86_400.0 + uniform(2, series, 0);
    let cloud = |number| 8.0 * (uniform(3, series, number) - 0.5);
    let (cloud_number, passed) = (second / 120, f64::from(second % 120) / 120.0);
    let clouds = cloud(cloud_number) * (1.0 - passed) + cloud(cloud_number + 1) * passed;
    50.0 + 45.0 * (TAU * time_of_day).sin() + clouds
}

/// A random number of the standard normal distribution (Box and Muller).
fn normal(series: u32, second: u32) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(4, series, second)).ln()).sqrt();
    radius * (TAU * uniform(5, series, second)).cos()
}

/// A random number of `0.0..1.0`, always the same for the same arguments.
fn uniform(what: u64, series: u32, number: u32) -> f64 {
    let place = what << 60 ^ u64::from(series) << 32 ^ u64::from(number);
    (mix(place) >> 11) as f64 / (1u64 << 53) as f64
}

/// Mixes the bits of a number, after which nothing of a pattern is left (`SplitMix64`).
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
