//! The addresses that a hub listens on, in a file for whoever looks for it.

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// The file's name in the folder of the store, while a hub runs on it.
pub const FILE: &str = "ADDRESSES";

/// The addresses that the listeners got, as `--addresses-file` holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// For the boards.
    pub mqtt: SocketAddr,
    /// For the API and the page.
    pub http: SocketAddr,
}

impl Addresses {
    /// Writes the file as a whole or not at all: whoever waits for it must not read half of it.
    ///
    /// # Errors
    ///
    /// The system's word.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(path)?;
        Ok(())
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// The system's word, also for a file that is not such a one.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Where the API answers to a caller on this machine.
    pub fn http_from_here(&self) -> SocketAddr {
        let mut address = self.http;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_from_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let addresses =
            Addresses { mqtt: "[::]:1883".parse().unwrap(), http: "0.0.0.0:8080".parse().unwrap() };
        addresses.write(&path).unwrap();
        assert_eq!(Addresses::read(&path).unwrap(), addresses);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"mqtt\":\"[::]:1883\",\"http\":\"0.0.0.0:8080\"}");
        assert_eq!(addresses.http_from_here().to_string(), "127.0.0.1:8080");
        fs::write(&path, "{").unwrap();
        assert!(Addresses::read(&path).is_err());
    }
}
