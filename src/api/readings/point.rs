//! Readings and buckets as they are answered.

use crate::model::{Bucket, Channel, Timestamp};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;

/// Rows of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Points {
    /// Readings by themselves.
    Raw(Vec<(Timestamp, u8)>),
    /// Readings summed up.
    Buckets(Vec<Bucket>),
}

/// Rows of one channel, whose kind of values they have.
#[derive(Debug)]
pub(in crate::api) struct Of {
    pub(super) channel: Channel,
    pub(super) points: Points,
}

impl Serialize for Of {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.points {
            Points::Raw(readings) => serializer.collect_seq(
                readings.iter().map(|(at, value)| (at.millis(), self.channel.json(*value))),
            ),
            Points::Buckets(buckets) => serializer.collect_seq(buckets.iter().map(|bucket| {
                let Bucket { start, min, max, count, .. } = *bucket;
                (start.millis(), min, mean(bucket, self.channel), max, count)
            })),
        }
    }
}

impl Of {
    /// RFC 4180: a header line, and CRLF behind every line. No value needs quotes.
    pub(super) fn csv(&self) -> String {
        // Writing to a string can't fail.
        match &self.points {
            Points::Raw(readings) => {
                let mut text = String::with_capacity(12 + readings.len() * 31);
                text.push_str("time,value\r\n");
                for (at, value) in readings {
                    let _ = write!(text, "{at},{}\r\n", self.channel.json(*value));
                }
                text
            }
            Points::Buckets(buckets) => {
                let mut text = String::with_capacity(25 + buckets.len() * 43);
                text.push_str("time,min,mean,max,count\r\n");
                for bucket in buckets {
                    let Bucket { start, min, max, count, .. } = bucket;
                    let mean = mean(bucket, self.channel);
                    let _ = write!(text, "{start},{min},{mean},{max},{count}\r\n");
                }
                text
            }
        }
    }
}

/// The mean, to a hundredth of a percent: of light, or of the readings that said "on".
fn mean(bucket: &Bucket, channel: Channel) -> f64 {
    let digits = match channel {
        Channel::Photoresistor => 100.0,
        Channel::Led | Channel::Button => 10_000.0,
    };
    (bucket.mean() * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_763_800_000_000;

    fn raw(channel: Channel, values: &[u8]) -> Of {
        let at = |index: i64| Timestamp::from_millis(START + 1000 * index);
        let readings = (0..).zip(values).map(|(index, &value)| (at(index), value)).collect();
        Of { channel, points: Points::Raw(readings) }
    }

    fn buckets(channel: Channel) -> Of {
        let start = Timestamp::from_millis(START);
        let one = Bucket { start, min: 0, max: 1, sum: 2, count: 3 };
        let other = Bucket { start, min: 100, max: 100, sum: 500, count: 5 };
        let points = vec![if channel == Channel::Led { one } else { other }, one];
        Of { channel, points: Points::Buckets(points) }
    }

    #[test]
    fn readings_are_pairs_of_time_and_value() {
        let light = serde_json::to_string(&raw(Channel::Photoresistor, &[58, 59])).unwrap();
        assert_eq!(light, "[[1763800000000,58],[1763800001000,59]]");
        let led = serde_json::to_string(&raw(Channel::Led, &[1])).unwrap();
        assert_eq!(led, "[[1763800000000,true]]");
    }

    #[test]
    fn buckets_are_rows_of_start_min_mean_max_and_count() {
        let light = serde_json::to_string(&buckets(Channel::Photoresistor)).unwrap();
        assert_eq!(light, "[[1763800000000,100,100.0,100,5],[1763800000000,0,0.67,1,3]]");
        let led = serde_json::to_string(&buckets(Channel::Led)).unwrap();
        assert!(led.starts_with("[[1763800000000,0,0.6667,1,3],"), "{led}");
    }

    #[test]
    fn csv_has_a_header_and_crlf_line_ends() {
        assert_eq!(
            raw(Channel::Photoresistor, &[0, 100]).csv(),
            "time,value\r\n2025-11-22T08:26:40.000Z,0\r\n2025-11-22T08:26:41.000Z,100\r\n"
        );
        let text = buckets(Channel::Photoresistor).csv();
        assert_eq!(
            text,
            "time,min,mean,max,count\r\n2025-11-22T08:26:40.000Z,100,100,100,5\r\n\
             2025-11-22T08:26:40.000Z,0,0.67,1,3\r\n"
        );
    }
}
