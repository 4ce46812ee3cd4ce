//! Which serial port a board is on.

use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

/// Who makes what boards are connected by, by the vendor's number on USB: the chips' own USB, and the
/// bridges from USB to a serial line that boards carry.
const VENDORS: [(u16, &str); 5] = [
    (0x303A, "Espressif"),
    (0x10C4, "Silicon Labs CP210x"),
    (0x1A86, "WCH CH34x"),
    (0x0403, "FTDI"),
    (0x067B, "Prolific PL2303"),
];

/// Where Linux lists its serial ports.
const CLASS: &str = "/sys/class/tty";

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The device file.
    pub path: String,
    /// What it is on USB; zeros where that is not known.
    usb: UsbPortInfo,
}

/// Why there is no port to be used.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// No port is that of a board.
    #[error(
        "no board is found on USB. Usual causes: a cable that only charges; a hub or a socket \
         without power; a board that sleeps (hold BOOT, press RESET, release BOOT). `dmesg | tail` \
         says whether the system sees it at all.{}",
        unsure(.others)
    )]
    None {
        /// Ports that could be something else.
        others: Vec<Port>,
    },
    /// More than one may be that of a board.
    #[error("more than one board may be meant: choose with --port{}", list(.0))]
    Several(Vec<Port>),
    /// The port that was named does not exist.
    #[error("there is no port {0}; `ls /dev/serial/by-id` lists those on USB")]
    Missing(String),
    /// The system does not say which ports there are.
    #[error("can't list the serial ports: {0}")]
    List(#[from] serialport::Error),
}

fn unsure(ports: &[Port]) -> String {
    match ports {
        [] => String::new(),
        ports => {
            format!("\nThese ports may be a board all the same; --port takes one:{}", list(ports))
        }
    }
}

fn list(ports: &[Port]) -> String {
    let mut lines = String::new();
    for port in ports {
        // A `String` takes everything.
        let _ = write!(lines, "\n  {port}");
    }
    lines
}

impl Port {
    /// The port that was named, or the only one on USB that a board may be on.
    ///
    /// # Errors
    ///
    /// [`PortError`]
    pub fn find(named: Option<&Path>) -> Result<Self, PortError> {
        // The library takes it for granted.
        let listed =
            if Path::new(CLASS).exists() { serialport::available_ports() } else { Ok(Vec::new()) };
        match named {
            // What else there is does not matter then.
            Some(path) if path.exists() => Ok(Self::at(path, on_usb(listed.unwrap_or_default()))),
            Some(path) => Err(PortError::Missing(path.display().to_string())),
            None => choose(on_usb(listed?)),
        }
    }

    /// A port by its path, which may be a link such as those in `/dev/serial/by-id`.
    fn at(path: &Path, known: Vec<Self>) -> Self {
        let device = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        known.into_iter().find(|port| Path::new(&port.path) == device).unwrap_or_else(|| Self {
            path: path.display().to_string(),
            usb: UsbPortInfo {
                vid: 0,
                pid: 0,
                serial_number: None,
                manufacturer: None,
                product: None,
            },
        })
    }

    /// What it is on USB; zeros where that is not known.
    pub(super) fn usb(&self) -> &UsbPortInfo {
        &self.usb
    }

    fn vendor(&self) -> Option<&'static str> {
        VENDORS.iter().find(|(number, _)| *number == self.usb.vid).map(|(_, name)| *name)
    }
}

/// `/dev/ttyUSB0: CP2102N USB to UART Bridge Controller (10c4:ea60)`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.usb.vid == 0 {
            return Ok(());
        }
        let product = self.usb.product.as_deref().or_else(|| self.vendor());
        write!(f, ": {} ", product.unwrap_or("USB"))?;
        write!(f, "({:04x}:{:04x})", self.usb.vid, self.usb.pid)
    }
}

fn on_usb(ports: Vec<SerialPortInfo>) -> Vec<Port> {
    let mut ports: Vec<_> = ports
        .into_iter()
        .filter_map(|port| match port.port_type {
            SerialPortType::UsbPort(usb) => Some(Port { path: port.port_name, usb }),
            _ => None,
        })
        .collect();
    ports.sort_by(|a, b| a.path.cmp(&b.path));
    ports
}

fn choose(ports: Vec<Port>) -> Result<Port, PortError> {
    let (mut known, others): (Vec<_>, Vec<_>) =
        ports.into_iter().partition(|port| port.vendor().is_some());
    match known.pop() {
        None => Err(PortError::None { others }),
        Some(port) if known.is_empty() => Ok(port),
        Some(port) => {
            known.push(port);
            Err(PortError::Several(known))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usb(path: &str, vid: u16, pid: u16, product: Option<&str>) -> SerialPortInfo {
        SerialPortInfo {
            port_name: path.into(),
            port_type: SerialPortType::UsbPort(UsbPortInfo {
                vid,
                pid,
                serial_number: None,
                manufacturer: None,
                product: product.map(str::to_owned),
            }),
        }
    }

    fn other(path: &str) -> SerialPortInfo {
        SerialPortInfo { port_name: path.into(), port_type: SerialPortType::Unknown }
    }

    fn chosen(ports: Vec<SerialPortInfo>) -> Result<String, String> {
        choose(on_usb(ports)).map(|port| port.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_board_is_taken_whatever_other_ports_there_are() {
        let ports = vec![
            other("/dev/ttyAMA0"),
            usb("/dev/ttyACM1", 0x2341, 0x0043, Some("Arduino Uno")),
            usb("/dev/ttyACM0", 0x303A, 0x1001, Some("USB JTAG/serial debug unit")),
        ];
        let port = "/dev/ttyACM0: USB JTAG/serial debug unit (303a:1001)";
        assert_eq!(chosen(ports).as_deref(), Ok(port));
        for (vid, name) in VENDORS {
            let port = format!("/dev/ttyUSB0: {name} ({vid:04x}:7523)");
            assert_eq!(chosen(vec![usb("/dev/ttyUSB0", vid, 0x7523, None)]), Ok(port));
        }
    }

    #[test]
    fn no_board_is_explained() {
        let said = chosen(vec![other("/dev/ttyAMA0")]).unwrap_err();
        assert!(said.contains("only charges") && !said.contains("ttyAMA0"), "{said}");
        let said = chosen(vec![usb("/dev/ttyACM0", 0x2341, 0x0043, None)]).unwrap_err();
        assert!(
            said.contains("--port") && said.contains("/dev/ttyACM0: USB (2341:0043)"),
            "{said}"
        );
    }

    #[test]
    fn several_boards_are_listed() {
        let ports = vec![
            usb("/dev/ttyUSB1", 0x1A86, 0x7523, None),
            usb("/dev/ttyUSB0", 0x10C4, 0xEA60, Some("CP2102N")),
        ];
        let said = chosen(ports).unwrap_err();
        let (first, second) = (said.find("ttyUSB0: CP2102N"), said.find("ttyUSB1: WCH CH34x"));
        assert!(said.contains("--port") && first.unwrap() < second.unwrap(), "{said}");
    }

    #[test]
    fn a_port_that_is_named_is_taken_as_it_is_and_known_by_its_device() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("ttyACM0");
        fs::write(&device, "").unwrap();
        let device = device.canonicalize().unwrap();
        let link = folder.path().join("by-id");
        std::os::unix::fs::symlink(&device, &link).unwrap();
        let known = on_usb(vec![usb(device.to_str().unwrap(), 0x303A, 0x1001, None)]);
        assert_eq!(Port::at(&link, known.clone()), known[0]);
        let strange = Port::at(Path::new("/dev/pts/7"), known);
        assert_eq!((strange.to_string().as_str(), strange.usb.pid), ("/dev/pts/7", 0));
        let missing = Port::find(Some(&folder.path().join("ttyACM1")));
        assert!(matches!(missing, Err(PortError::Missing(path)) if path.ends_with("ttyACM1")));
    }
}
