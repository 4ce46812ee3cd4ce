//! What boards prove their MAC with, and what the hub makes that from.

use capteur_protocol::{Mac, config::BoardKey};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use std::{fmt, str};

/// The secret that every board's own key is derived from: the setting `mqtt.device_key`.
///
/// A board's key is HMAC-SHA256 (RFC 2104) of its MAC in upper case, under the bytes of this text:
/// whoever takes one board apart learns the key of one board. `Debug` hides the secret.
#[derive(Clone)]
pub struct MasterKey {
    secret: Box<str>,
    code: Hmac<Sha256>,
}

impl MasterKey {
    /// A shorter secret, in bytes, can be found by trying.
    pub const GOOD_LEN: usize = 16;

    /// Takes a secret; `None` if it is empty.
    pub fn new(secret: &str) -> Option<Self> {
        let code = Hmac::new_from_slice(secret.as_bytes()).ok()?;
        (!secret.is_empty()).then(|| Self { secret: secret.into(), code })
    }

    /// Whether the secret is so short that it can be found by trying.
    pub fn is_short(&self) -> bool {
        self.secret.len() < Self::GOOD_LEN
    }

    /// The key of the board with this MAC.
    pub fn board_key(&self, mac: Mac) -> BoardKey {
        BoardKey(self.code_of(&mac.to_string()).finalize().into_bytes().into())
    }

    /// The MAC that a user name and a password prove: the password is the key of the board whose MAC
    /// the user name is, in 64 hexadecimal digits; the case of neither matters. A key that was made of
    /// the MAC as the user name spells it will do as well. How long this takes tells nothing about
    /// the key.
    pub fn proven(&self, user_name: &str, password: &[u8]) -> Option<Mac> {
        let mac: Mac = user_name.parse().ok()?;
        let BoardKey(given) = str::from_utf8(password).ok()?.parse().ok()?;
        [mac.to_string().as_str(), user_name]
            .into_iter()
            .any(|spelled| self.code_of(spelled).verify_slice(&given).is_ok())
            .then_some(mac)
    }

    fn code_of(&self, mac: &str) -> Hmac<Sha256> {
        self.code.clone().chain_update(mac)
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for MasterKey {}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1]);

    fn master() -> MasterKey {
        MasterKey::new("a secret of the house").unwrap()
    }

    /// `printf 61:EC:ED:3B:25:B1 | openssl dgst -sha256 -hmac 'a secret of the house'`
    const KEY: &str = "dcaf6c3de704334d139735df6467735445c6b3a38896921d5e4b76d882a2d4d4";

    #[test]
    fn a_boards_key_is_the_hmac_of_its_mac_in_upper_case() {
        assert_eq!(master().board_key(MAC).to_hex(), KEY);
    }

    #[test]
    fn a_board_proves_its_mac_in_any_case() {
        for user_name in ["61:EC:ED:3B:25:B1", "61:ec:ed:3b:25:b1"] {
            assert_eq!(master().proven(user_name, KEY.as_bytes()), Some(MAC));
        }
        let upper = KEY.to_uppercase();
        assert_eq!(master().proven("61:EC:ED:3B:25:B1", upper.as_bytes()), Some(MAC));
        // What simple firmware makes of its own spelling.
        let code = master().code_of("61:ec:ed:3b:25:b1").finalize().into_bytes();
        let spelled = BoardKey(code.into()).to_hex();
        assert_eq!(master().proven("61:ec:ed:3b:25:b1", spelled.as_bytes()), Some(MAC));
        assert_eq!(master().proven("61:EC:ED:3B:25:B1", spelled.as_bytes()), None);
    }

    #[test]
    fn nothing_else_proves_a_mac() {
        let other = master().board_key(Mac([0; 6])).to_hex();
        let flipped = format!("{}{}", if KEY.starts_with('0') { '1' } else { '0' }, &KEY[1..]);
        for password in ["", &KEY[1..], &format!("{KEY}0"), &flipped, &other] {
            assert_eq!(master().proven("61:EC:ED:3B:25:B1", password.as_bytes()), None);
        }
        assert_eq!(master().proven("61:EC:ED:3B:25:B2", KEY.as_bytes()), None);
        assert_eq!(master().proven("capteur01", KEY.as_bytes()), None);
        assert_eq!(master().proven("", KEY.as_bytes()), None);
        assert_eq!(master().proven("61:EC:ED:3B:25:B1", &[0xFF; 64]), None);
        let another = MasterKey::new("another secret").unwrap();
        assert_eq!(another.proven("61:EC:ED:3B:25:B1", KEY.as_bytes()), None);
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", master()).contains("house"));
    }

    #[test]
    fn no_secret_is_no_key_and_a_short_one_is_known_as_such() {
        assert!(MasterKey::new("").is_none());
        assert!(MasterKey::new("0123456789abcde").unwrap().is_short());
        assert!(!master().is_short());
    }
}
