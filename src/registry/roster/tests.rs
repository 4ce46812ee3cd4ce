//! What bounds the roster.

use super::*;
use crate::model::{Timestamp, Wish};

#[test]
fn open_sessions_of_all_devices_are_bounded() {
    let mut roster = Roster::default();
    let mut number = 0;
    for id in 0..3000_u32 {
        let name: Name = format!("capteur{id:02}").parse().unwrap();
        let [_, _, a, b] = id.to_be_bytes();
        let record = DeviceRecord {
            id: DeviceId(id),
            mac: Mac([0, 0, 0, 0, a, b]),
            name: name.clone(),
            first_seen: Timestamp::default(),
            last_seen: Timestamp::default(),
            joined_at: None,
            left_at: None,
            session: None,
            offered: Vec::new(),
            replaced: None,
            revision: 0,
            wish: Wish::Open,
            former_wish: Wish::Open,
        };
        roster.insert(record, Channels::default());
        for _ in 0..SESSIONS_OPEN_MAX {
            number += 1;
            let session = SessionId::from_micros(number).unwrap();
            roster.offer(DeviceId(id), Pair { name: name.clone(), session });
        }
    }
    roster.check();
    assert!(roster.by_session.len() <= SESSIONS_OPEN_TOTAL + 3000 * SESSIONS_OPEN_FEW);
    // One that has many gives them up when it asks again.
    let pair = Pair { name: "capteur00".parse().unwrap(), session: SessionId::MAX };
    roster.offer(DeviceId(0), pair);
    assert_eq!(roster.get(DeviceId(0)).unwrap().record.offered.len(), SESSIONS_OPEN_FEW);
    roster.check();
}
