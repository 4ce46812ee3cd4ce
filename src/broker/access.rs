//! Who may do what.

use super::{packet::Reason, topic};
use crate::config::{self, Anonymous};
use capteur_protocol::{Mac, Topic};

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// What boards do, and to hear only what names it; with the MAC that it has proven to be its
    /// own, where boards have to.
    Device(Option<Mac>),
    /// Everything but the server's own topics.
    Full,
}

/// The role of a client with these credentials.
///
/// Where boards have keys, a client is the board that it proves to be; who says that it is a board
/// and can't prove it is refused. Other credentials don't exist yet, and are not looked at.
pub(crate) fn admit(
    settings: &config::Mqtt,
    user_name: Option<&str>,
    password: &[u8],
) -> Result<Role, Reason> {
    let Some(key) = &settings.device_key else {
        return match settings.anonymous {
            Anonymous::Device => Ok(Role::Device(None)),
            Anonymous::Full => Ok(Role::Full),
            Anonymous::None => Err(Reason::NOT_AUTHORIZED),
        };
    };
    match (user_name, settings.anonymous) {
        (Some(user), anonymous) => match key.proven(user, password) {
            Some(mac) => Ok(Role::Device(Some(mac))),
            None if anonymous == Anonymous::Full && user.parse::<Mac>().is_err() => Ok(Role::Full),
            None => Err(Reason::BAD_USER_NAME_OR_PASSWORD),
        },
        (None, Anonymous::Full) => Ok(Role::Full),
        (None, Anonymous::Device | Anonymous::None) => Err(Reason::NOT_AUTHORIZED),
    }
}

impl Role {
    /// Whether this is the role of boards.
    pub(crate) const fn is_device(self) -> bool {
        matches!(self, Self::Device(_))
    }

    /// The MAC that the client has proven to be its own.
    pub(crate) const fn proven(self) -> Option<Mac> {
        match self {
            Self::Device(mac) => mac,
            Self::Full => None,
        }
    }

    /// Whether this role may publish on a valid topic, now or by its will.
    pub(crate) fn may_publish(self, topic: &str) -> bool {
        match self {
            Self::Device(_) => topic.parse().is_ok_and(Topic::is_from_device),
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
            Self::Device(_) => filter.parse().is_ok_and(|topic: Topic| !topic.is_from_device()),
            Self::Full => !topic::is_of_server(filter),
        };
        if allowed { Ok(()) } else { Err(Reason::NOT_AUTHORIZED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::tests::settings, model::MasterKey};

    const DEVICE: Role = Role::Device(None);
    const MAC: Mac = Mac([0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1]);

    #[test]
    fn a_device_publishes_what_boards_publish_and_hears_what_the_hub_says() {
        for topic in Topic::ALL {
            assert_eq!(DEVICE.may_publish(topic.as_str()), topic.is_from_device());
            let heard = DEVICE.may_subscribe(topic.as_str());
            assert_eq!(heard.is_ok(), !topic.is_from_device());
        }
        for filter in ["#", "led/+", "state/#", "other"] {
            assert_eq!(DEVICE.may_subscribe(filter), Err(Reason::NOT_AUTHORIZED));
        }
        assert!(!DEVICE.may_publish("other"));
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
    fn without_a_key_credentials_are_not_looked_at() {
        for credentials in [None, Some("61:EC:ED:3B:25:B1")] {
            let admit = |anonymous| {
                admit(&config::Mqtt { anonymous, ..settings() }, credentials, b"password")
            };
            assert_eq!(admit(Anonymous::None), Err(Reason::NOT_AUTHORIZED));
            assert_eq!(admit(Anonymous::Device), Ok(DEVICE));
            assert_eq!(admit(Anonymous::Full), Ok(Role::Full));
        }
    }

    #[test]
    fn with_a_key_a_board_is_who_it_proves_to_be() {
        let master = MasterKey::new("a secret of the house").unwrap();
        let key = master.board_key(MAC).to_hex();
        let admit = |anonymous, user_name, password: &str| {
            let settings =
                config::Mqtt { anonymous, device_key: Some(master.clone()), ..settings() };
            admit(&settings, user_name, password.as_bytes())
        };
        for anonymous in [Anonymous::Device, Anonymous::Full, Anonymous::None] {
            let mac = Some("61:EC:ED:3B:25:B1");
            assert_eq!(admit(anonymous, mac, &key), Ok(Role::Device(Some(MAC))));
            assert_eq!(admit(anonymous, mac, "x"), Err(Reason::BAD_USER_NAME_OR_PASSWORD));
            let other = Some("61:EC:ED:3B:25:B2");
            assert_eq!(admit(anonymous, other, &key), Err(Reason::BAD_USER_NAME_OR_PASSWORD));
        }
        for anonymous in [Anonymous::Device, Anonymous::None] {
            assert_eq!(admit(anonymous, None, &key), Err(Reason::NOT_AUTHORIZED));
            let name = Some("somebody");
            assert_eq!(admit(anonymous, name, &key), Err(Reason::BAD_USER_NAME_OR_PASSWORD));
        }
        assert_eq!(admit(Anonymous::Full, None, ""), Ok(Role::Full));
        assert_eq!(admit(Anonymous::Full, Some("somebody"), "x"), Ok(Role::Full));
    }
}
