//! What a board tells about itself.

use serde::Serialize;
use utoipa::ToSchema;

/// What a board tells about itself (`state/info`); `null` where it doesn't.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Info {
    /// The firmware's version.
    #[schema(example = "0.1.0")]
    pub firmware: Option<String>,
    /// The chip.
    #[schema(example = "esp32c3")]
    pub chip: Option<String>,
    /// Why the chip last started.
    #[schema(example = "power-on")]
    pub reset: Option<String>,
    /// How strongly the board hears its access point, in dBm.
    #[schema(example = -61)]
    pub rssi: Option<i8>,
    /// Seconds since it started, as of when it told.
    pub uptime_s: Option<u32>,
    /// Bytes of heap that are free.
    pub free_heap: Option<u32>,
    /// Readings that it dropped since it started, for want of memory while the hub was away.
    pub lost_readings: Option<u32>,
}

impl Info {
    /// Whether this tells something that one wants to hear of at once, after `before`. How strong
    /// the signal is, how much memory is free and how the time goes by is not.
    pub fn is_news_after(&self, before: &Self) -> bool {
        let lasting = |info: &Self| {
            (info.firmware.clone(), info.chip.clone(), info.reset.clone(), info.lost_readings)
        };
        lasting(self) != lasting(before) || self.uptime_s < before.uptime_s
    }
}

impl From<&capteur_protocol::Info> for Info {
    fn from(info: &capteur_protocol::Info) -> Self {
        let text = |word: &Option<capteur_protocol::Word>| {
            word.as_ref().map(|word| word.as_str().to_owned())
        };
        Self {
            firmware: text(&info.firmware),
            chip: text(&info.chip),
            reset: text(&info.reset),
            rssi: info.rssi,
            uptime_s: info.uptime_s,
            free_heap: info.free_heap,
            lost_readings: info.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weaker_signal_is_no_news_and_a_restart_is() {
        let before = Info {
            firmware: Some("0.1.0".into()),
            rssi: Some(-50),
            uptime_s: Some(300),
            free_heap: Some(90_000),
            ..Info::default()
        };
        let later =
            Info { rssi: Some(-70), uptime_s: Some(600), free_heap: Some(9), ..before.clone() };
        assert!(!later.is_news_after(&before));
        assert!(Info { uptime_s: Some(2), ..before.clone() }.is_news_after(&before));
        assert!(Info { lost_readings: Some(1), ..later }.is_news_after(&before));
        assert!(Info { firmware: Some("0.2.0".into()), ..before.clone() }.is_news_after(&before));
    }
}
