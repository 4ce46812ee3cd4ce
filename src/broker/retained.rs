//! Retained messages: the last one of each topic, for whoever subscribes later.

use super::{message::Message, topic};
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc, time::Instant};

/// The retained messages of all topics, bounded in number.
#[derive(Debug)]
pub(crate) struct Retained {
    messages: HashMap<Bytes, Arc<Message>>,
    max: usize,
}

/// There are as many retained messages as there may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl Retained {
    pub(crate) fn new(max: usize) -> Self {
        Self { messages: HashMap::new(), max }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps a message that was published to be retained; an empty one only removes what was kept
    /// ([MQTT-3.3.1-6]).
    pub(crate) fn keep(
        &mut self,
        message: &Arc<Message>,
        now: Instant,
    ) -> Result<(), RetainedFull> {
        if message.payload.is_empty() {
            self.messages.remove(&message.topic);
            return Ok(());
        }
        if self.messages.len() >= self.max && !self.messages.contains_key(&message.topic) {
            self.messages.retain(|_, kept| !kept.is_expired(now));
            if self.messages.len() >= self.max {
                return Err(RetainedFull);
            }
        }
        self.messages.insert(message.topic.clone(), Arc::clone(message));
        Ok(())
    }

    /// The messages that match a valid filter and have not expired.
    pub(crate) fn matching(&mut self, filter: &str, now: Instant) -> Vec<Arc<Message>> {
        if !topic::has_wildcards(filter) {
            let kept = self.messages.get(filter.as_bytes());
            return kept.filter(|kept| !kept.is_expired(now)).cloned().into_iter().collect();
        }
        self.messages.retain(|_, kept| !kept.is_expired(now));
        let matches =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| topic::matches(filter, name));
        let matching = self.messages.iter().filter(|(name, _)| matches(name));
        matching.map(|(_, kept)| Arc::clone(kept)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn message(topic: &'static str, payload: &'static str, lives_s: Option<u64>) -> Arc<Message> {
        Arc::new(Message {
            topic: Bytes::from_static(topic.as_bytes()),
            payload: Bytes::from_static(payload.as_bytes()),
            properties: Bytes::new(),
            qos: 0,
            retain: true,
            expires: lives_s.map(|s| Instant::now() + Duration::from_secs(s)),
        })
    }

    #[test]
    fn an_empty_message_removes_what_was_kept() {
        let now = Instant::now();
        let mut retained = Retained::new(10);
        retained.keep(&message("a", "1", None), now).unwrap();
        retained.keep(&message("a", "2", None), now).unwrap();
        assert_eq!(retained.matching("+", now)[0].payload, "2");
        retained.keep(&message("a", "", None), now).unwrap();
        assert_eq!(retained.len(), 0);
    }

    #[test]
    fn a_full_store_takes_only_what_replaces_or_what_expired_ones_leave_room_for() {
        let now = Instant::now();
        let mut retained = Retained::new(2);
        retained.keep(&message("a", "1", None), now).unwrap();
        retained.keep(&message("b", "1", Some(5)), now).unwrap();
        assert_eq!(retained.keep(&message("c", "1", None), now), Err(RetainedFull));
        retained.keep(&message("a", "2", None), now).unwrap();
        let later = now + Duration::from_secs(6);
        retained.keep(&message("c", "1", None), later).unwrap();
        assert_eq!(retained.len(), 2);
    }

    #[test]
    fn an_expired_message_is_not_sent() {
        let now = Instant::now();
        let mut retained = Retained::new(2);
        retained.keep(&message("a", "1", Some(5)), now).unwrap();
        assert_eq!(retained.matching("a", now).len(), 1);
        let later = now + Duration::from_secs(6);
        assert_eq!(retained.matching("a", later).len(), 0);
        assert_eq!(retained.matching("#", later).len(), 0);
    }
}
