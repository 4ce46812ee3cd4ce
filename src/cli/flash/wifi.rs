//! Which network a board joins, and with what password.

use crate::{
    cli::{arguments::flash::FlashArguments, print_error},
    firmware::Wifi,
};
use capteur_protocol::{
    Config,
    config::{Passphrase, Ssid},
};
use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
};

/// The variable of the environment that may hold the password.
pub(super) const PASSWORD: &str = "CAPTEUR_WIFI_PASSWORD";

/// What a password is like.
const SHAPE: &str = "8 to 63 printable ASCII characters, or 64 hexadecimal digits";

/// Why it is not known which network a board is to join.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum WifiError {
    #[error("the board knows no Wi-Fi yet: name it with --wifi, or in CAPTEUR_WIFI")]
    NoNetwork,
    #[error(
        "the password of the Wi-Fi {0} is missing: give it by --wifi-password-file or in {PASSWORD}, \
         or say --wifi-open if it has none"
    )]
    NoPassword(Ssid),
    #[error("{0}: a Wi-Fi's password has {SHAPE} (--wifi-open: it has none)")]
    BadPassword(String),
    #[error("--wifi-password-file: can't read {path}: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error("can't ask: {0}")]
    Terminal(io::Error),
}

impl WifiError {
    /// Whether other arguments would do.
    pub(super) fn is_usage(&self) -> bool {
        !matches!(self, Self::Terminal(_))
    }
}

/// What was said about the password.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// Nothing.
    Unsaid,
    /// That there is none.
    Open,
    /// The password.
    Passphrase(Passphrase),
}

impl Secret {
    /// What was said by the arguments, else by the environment.
    pub(super) fn given(
        arguments: &FlashArguments,
        variable: Option<&OsStr>,
    ) -> Result<Self, super::FlashError> {
        let (text, place) = if arguments.wifi_open {
            return Ok(Self::Open);
        } else if let Some(path) = &arguments.wifi_password_file {
            let text = read(path).map_err(|error| WifiError::Unreadable {
                path: path.display().to_string(),
                error,
            })?;
            (text, format!("--wifi-password-file {}", path.display()))
        } else if let Some(text) = variable {
            (text.to_string_lossy().into_owned(), PASSWORD.to_owned())
        } else {
            return Ok(Self::Unsaid);
        };
        // Editors end a file with a line break; no password has one.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let passphrase = text.parse().map_err(|_| WifiError::BadPassword(place))?;
        Ok(Self::Passphrase(passphrase))
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}

/// Whoever can be asked.
pub(super) trait Person {
    /// Asks for the network's name; `None` where nobody is there.
    fn network(&mut self) -> Result<Option<Ssid>, WifiError>;

    /// Asks for the network's password; [`Secret::Unsaid`] where nobody is there.
    fn password(&mut self, ssid: &Ssid) -> Result<Secret, WifiError>;
}

/// What becomes of the network of a board that has `found`: `None` leaves it as it is. A password
/// without a name belongs to the network that the board has; a name without a password is a
/// question, unless the board has that network's.
pub(super) fn choose(
    wanted: Option<Ssid>,
    secret: Secret,
    found: &Config,
    person: &mut impl Person,
) -> Result<Option<Wifi>, WifiError> {
    let had = found.ssid.as_ref();
    if secret == Secret::Unsaid && had.is_some() && (wanted.is_none() || wanted.as_ref() == had) {
        return Ok(None);
    }
    let ssid = match wanted.or_else(|| had.cloned()) {
        Some(ssid) => ssid,
        None => person.network()?.ok_or(WifiError::NoNetwork)?,
    };
    let secret = match secret {
        Secret::Unsaid => person.password(&ssid)?,
        secret => secret,
    };
    let passphrase = match secret {
        Secret::Unsaid => return Err(WifiError::NoPassword(ssid)),
        Secret::Open => None,
        Secret::Passphrase(passphrase) => Some(passphrase),
    };
    Ok(Some(Wifi { ssid, passphrase }))
}

/// Whoever sits at the terminal, if anybody does.
pub(super) struct Terminal;

impl Terminal {
    fn is_there() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }
}

impl Person for Terminal {
    fn network(&mut self) -> Result<Option<Ssid>, WifiError> {
        while Self::is_there() {
            print_error("Wi-Fi (2.4 GHz): ");
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line).map_err(WifiError::Terminal)? == 0 {
                break;
            }
            match line.trim_end_matches(['\r', '\n']).parse() {
                Ok(ssid) => return Ok(Some(ssid)),
                Err(error) => print_error(&format!("The name {error}: 1 to 32 bytes.\n")),
            }
        }
        Ok(None)
    }

    fn password(&mut self, ssid: &Ssid) -> Result<Secret, WifiError> {
        let prompt = format!("Password of {ssid} (none if it is open): ");
        while Self::is_there() {
            let text = rpassword::prompt_password(&prompt).map_err(WifiError::Terminal)?;
            if text.is_empty() {
                return Ok(Secret::Open);
            }
            match text.parse() {
                Ok(passphrase) => return Ok(Secret::Passphrase(passphrase)),
                Err(_) => print_error(&format!("It has {SHAPE}.\n")),
            }
        }
        Ok(Secret::Unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Somebody who answers so, once each.
    #[derive(Default)]
    struct Answers {
        network: Option<&'static str>,
        password: Option<Secret>,
    }

    impl Person for Answers {
        fn network(&mut self) -> Result<Option<Ssid>, WifiError> {
            Ok(self.network.take().map(|text| text.parse().unwrap()))
        }

        fn password(&mut self, _: &Ssid) -> Result<Secret, WifiError> {
            Ok(self.password.take().unwrap_or(Secret::Unsaid))
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::Passphrase(text.parse().unwrap())
    }

    fn wifi(ssid: &str, password: Option<&str>) -> Wifi {
        let passphrase = password.map(|text| text.parse().unwrap());
        Wifi { ssid: ssid.parse().unwrap(), passphrase }
    }

    fn home() -> Config {
        Config {
            ssid: "home".parse().ok(),
            passphrase: "old password".parse().ok(),
            ..Config::default()
        }
    }

    fn chosen(
        wanted: Option<&str>,
        secret: Secret,
        found: &Config,
    ) -> Result<Option<Wifi>, String> {
        let wanted = wanted.map(|text| text.parse().unwrap());
        let nobody = &mut Answers::default();
        choose(wanted, secret, found, nobody).map_err(|error| error.to_string())
    }

    #[test]
    fn a_board_keeps_its_network_unless_another_is_wanted() {
        assert_eq!(chosen(None, Secret::Unsaid, &home()), Ok(None));
        assert_eq!(chosen(Some("home"), Secret::Unsaid, &home()), Ok(None));
        let away = chosen(Some("away"), secret("new password"), &home());
        assert_eq!(away, Ok(Some(wifi("away", Some("new password")))));
    }

    #[test]
    fn a_password_belongs_to_its_network() {
        // Another network never gets this one's password.
        let said = chosen(Some("away"), Secret::Unsaid, &home()).unwrap_err();
        assert!(said.contains("away") && said.contains("--wifi-password-file"), "{said}");
        assert_eq!(chosen(Some("away"), Secret::Open, &home()), Ok(Some(wifi("away", None))));
        // And a password without a name is for the network that is there.
        let renewed = chosen(None, secret("new password"), &home());
        assert_eq!(renewed, Ok(Some(wifi("home", Some("new password")))));
        assert_eq!(chosen(None, Secret::Open, &home()), Ok(Some(wifi("home", None))));
    }

    #[test]
    fn what_is_missing_is_asked_for_and_said_where_nobody_is_there() {
        let mut person = Answers { network: Some("asked"), password: Some(secret("a password")) };
        let asked = choose(None, Secret::Unsaid, &Config::default(), &mut person).unwrap();
        assert_eq!(asked, Some(wifi("asked", Some("a password"))));
        let mut person = Answers { network: Some("asked"), password: Some(Secret::Open) };
        let open = choose(None, Secret::Unsaid, &Config::default(), &mut person).unwrap();
        assert_eq!(open, Some(wifi("asked", None)));
        let said = chosen(None, Secret::Unsaid, &Config::default()).unwrap_err();
        assert!(said.contains("--wifi") && said.contains("CAPTEUR_WIFI"), "{said}");
        assert!(chosen(Some("new"), Secret::Unsaid, &Config::default()).is_err());
    }

    fn given(arguments: &[&str], variable: Option<&str>) -> Result<Secret, String> {
        use crate::cli::arguments::{Arguments, Command};
        use clap::Parser as _;
        let words = ["capteur", "flash"].iter().chain(arguments);
        let Command::Flash(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("not capteur flash");
        };
        Secret::given(&arguments, variable.map(OsStr::new)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_comes_from_a_file_or_the_environment() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let option = ["--wifi-password-file", file.path().to_str().unwrap()].map(str::to_owned);
        let option: Vec<_> = option.iter().map(String::as_str).collect();
        assert!(given(&option, None).unwrap_err().contains(option[1]), "an empty file");
        file.write_all(b"from the file \r\n").unwrap();
        assert_eq!(given(&option, Some("from the variable")), Ok(secret("from the file ")));
        assert_eq!(given(&[], Some("from the variable")), Ok(secret("from the variable")));
        assert_eq!(given(&["--wifi-open"], Some("from the variable")), Ok(Secret::Open));
        assert_eq!(given(&[], None), Ok(Secret::Unsaid));
        let said = given(&[], Some("short")).unwrap_err();
        assert!(said.contains(PASSWORD) && !said.contains("short:"), "{said}");
        let said = given(&["--wifi-password-file", "/no/such/file"], None).unwrap_err();
        assert!(said.contains("--wifi-password-file") && said.contains("/no/such/file"), "{said}");
    }
}
