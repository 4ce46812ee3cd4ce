//! Who may do what.

use super::{packet::Reason, topic};
use crate::config::Anonymous;
use capteur_protocol::Topic;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// What boards do, and to hear only what names it.
    Device,
    /// Everything but the server's own topics.
    Full,
}

/// The role of a client without credentials; those that it offers are not looked at, since
/// none exist yet.
pub(crate) const fn admit(anonymous: Anonymous) -> Result<Role, Reason> {
    match anonymous {
        Anonymous::Device => Ok(Role::Device),
        Anonymous::Full => Ok(Role::Full),
        Anonymous::None => Err(Reason::NOT_AUTHORIZED),
    }
}

impl Role {
    /// Whether this role may publish on a valid topic, now or by its will.
    pub(crate) fn may_publish(self, topic: &str) -> bool {
        match self {
            Self::Device => topic.parse().is_ok_and(Topic::is_from_device),
            Self::Full => !topic::is_of_server(topic),
        }
    }

    /// Whether this role may subscribe a filter, and if not, why.
    pub(crate) fn may_subscribe(self, filter: &str) -> Result<(), Reason> {
        if !topic::is_valid_filter(filter) {
            return Err(Reason::TOPIC_FILTER_INVALID);
        }
        if topic::is_shared(filter) {
            return Err(Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        let allowed = match self {
            Self::Device => filter.parse().is_ok_and(|topic: Topic| !topic.is_from_device()),
            Self::Full => !topic::is_of_server(filter),
        };
        if allowed { Ok(()) } else { Err(Reason::NOT_AUTHORIZED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_publishes_what_boards_publish_and_hears_what_the_hub_says() {
        for topic in Topic::ALL {
            assert_eq!(Role::Device.may_publish(topic.as_str()), topic.is_from_device());
            let heard = Role::Device.may_subscribe(topic.as_str());
            assert_eq!(heard.is_ok(), !topic.is_from_device());
        }
        for filter in ["#", "led/+", "state/#", "other"] {
            assert_eq!(Role::Device.may_subscribe(filter), Err(Reason::NOT_AUTHORIZED));
        }
        assert!(!Role::Device.may_publish("other"));
    }

    #[test]
    fn the_full_role_has_every_topic_but_the_servers() {
        assert!(Role::Full.may_publish("any/topic"));
        assert!(Role::Full.may_subscribe("#").is_ok());
        assert!(!Role::Full.may_publish("$SYS/x"));
        assert_eq!(Role::Full.may_subscribe("$SYS/#"), Err(Reason::NOT_AUTHORIZED));
        assert_eq!(
            Role::Full.may_subscribe("$share/group/a"),
            Err(Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)
        );
        assert_eq!(Role::Full.may_subscribe("a#"), Err(Reason::TOPIC_FILTER_INVALID));
    }

    #[test]
    fn nobody_is_admitted_where_anonymous_clients_are_not() {
        assert_eq!(admit(Anonymous::None), Err(Reason::NOT_AUTHORIZED));
        assert_eq!(admit(Anonymous::Device), Ok(Role::Device));
        assert_eq!(admit(Anonymous::Full), Ok(Role::Full));
    }
}
