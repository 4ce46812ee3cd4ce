//! The board on a port, through its boot loader. This file alone knows espflash.
//!
//! A chip's own boot loader is asked who it is; a small program of Espressif's (the stub) is then put
//! into its memory, which is faster and can compress.

use super::{Plan, port::Port};
use capteur_protocol::Mac;
use espflash::{
    Error as Espflash,
    connection::{Connection, ResetAfterOperation, ResetBeforeOperation},
    flasher::Flasher,
    image_format::Segment,
    target::ProgressCallbacks,
};
use serialport::{ErrorKind, TTYPort};
use std::{
    error::Error,
    fmt, io,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

/// The speed at which every boot loader can be spoken to, in bits a second.
const FIRST_BAUD: u32 = 115_200;

/// The chips' own USB: it knows no speed, its reset has a sequence of its own.
const NATIVE_PID: u16 = 0x1001;

/// How long the port may be silent before a command says how long it takes.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How a block of flash is asked for: as espflash's own command does it.
const READ_BLOCK: u32 = 4096;
const READ_IN_FLIGHT: u32 = 64;

/// Of the chip's security flags (`GET_SECURITY_INFO`), secure boot.
const SECURE_BOOT: u32 = 1;

/// How to speak to a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether the lines DTR and RTS bring the board into its boot loader and out of it. If not, a
    /// person does it by its buttons.
    pub reset: bool,
    /// The speed after the first words, in bits a second.
    pub baud: u32,
}

/// How far the writing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many of so many blocks are written.
    Writing {
        /// Where in the flash they go.
        offset: u32,
        /// Blocks written.
        done: usize,
        /// Blocks to be written.
        total: usize,
    },
    /// The flash is compared with what was written.
    Checking,
    /// This part is done.
    Done {
        /// The flash had all of it before.
        unchanged: bool,
    },
}

/// A board whose boot loader answers.
pub struct Board {
    flasher: Flasher,
    chip: String,
    mac: Mac,
    flash: u32,
}

/// Why a board can't be written.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// This user may not use the port.
    #[error(
        "no permission to use {0}: `sudo usermod -aG dialout $USER` gives it; then log out and in \
         again"
    )]
    Permission(String),
    /// Somebody else has the port open.
    #[error("{0} is in use by another program: a serial monitor, ModemManager, brltty?")]
    Busy(String),
    /// The port can't be opened.
    #[error("can't open {port}: {error}")]
    Open {
        /// The port.
        port: String,
        /// The system's word.
        error: serialport::Error,
    },
    /// Nobody answers as a boot loader.
    #[error(
        "the board on {port} does not answer ({error}). Hold its BOOT button, press RESET, release \
         BOOT, and add --no-reset. Is it an ESP32?"
    )]
    Silent {
        /// The port.
        port: String,
        /// What was seen.
        error: String,
    },
    /// Somebody answers, and it is no chip with flash that is known.
    #[error("the board on {port} can't be written: {error}")]
    Unknown {
        /// The port.
        port: String,
        /// What is wrong with it.
        error: String,
    },
    /// The chip is set up for signed or encrypted firmware of somebody else.
    #[error("this chip is locked ({0}): it takes no firmware but its maker's")]
    Locked(&'static str),
    /// It began, and went wrong.
    #[error(
        "{what} failed: {error}. Try again (with --no-reset: hold BOOT and press RESET before); where \
         it fails again, with --baud 115200"
    )]
    Failed {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        error: String,
    },
}

impl Board {
    /// Opens a port and speaks to the boot loader of the board there.
    ///
    /// # Errors
    ///
    /// [`BoardError`]
    pub fn connect(port: &Port, link: Link) -> Result<Self, BoardError> {
        let serial = open(&port.path)?;
        let (before, after) = if link.reset {
            (ResetBeforeOperation::DefaultReset, ResetAfterOperation::HardReset)
        } else {
            // The stub stays, at its speed, until somebody presses RESET: it knows no way out.
            (ResetBeforeOperation::NoReset, ResetAfterOperation::NoResetNoStub)
        };
        let connection = Connection::new(serial, port.usb().clone(), after, before, FIRST_BAUD);
        let baud = (port.usb().pid != NATIVE_PID).then_some(link.baud);
        let unfit = |Trouble { line, text: error }| match (line, port.path.clone()) {
            (true, port) => BoardError::Silent { port, error },
            (false, port) => BoardError::Unknown { port, error },
        };
        let mut flasher = contained(|| Flasher::connect(connection, true, true, true, None, baud))
            .map_err(unfit)?;
        if flasher.secure_download_mode() {
            return Err(BoardError::Locked("secure download mode"));
        }
        // Older chips do not know the question; they have no answer that matters either.
        if let Ok(security) = contained(|| flasher.security_info()) {
            if security.flags & SECURE_BOOT != 0 {
                return Err(BoardError::Locked("secure boot"));
            }
            if !security.flash_crypt_cnt.count_ones().is_multiple_of(2) {
                return Err(BoardError::Locked("flash encryption"));
            }
        }
        let chip = flasher.chip();
        let (mac, flash) = contained(|| {
            let mac = chip.mac_address(flasher.connection())?;
            Ok((mac, flasher.flash_detect()?.unwrap_or_default().size()))
        })
        .map_err(unfit)?;
        let mac = mac
            .parse()
            .map_err(|_| unfit(Trouble { line: true, text: format!("{mac} is no MAC address") }))?;
        Ok(Self { flasher, chip: chip.to_string(), mac, flash })
    }

    /// The chip's name, as `esp32c3`.
    pub fn chip(&self) -> &str {
        &self.chip
    }

    /// The MAC of its Wi-Fi.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// How much flash it has, in bytes.
    pub fn flash(&self) -> u32 {
        self.flash
    }

    /// Reads a part of its flash.
    ///
    /// # Errors
    ///
    /// [`BoardError::Failed`]
    pub fn read(&mut self, offset: u32, len: u32) -> Result<Vec<u8>, BoardError> {
        let failed = |error| BoardError::Failed { what: "reading the board's settings", error };
        // The library knows files only. This one is for our eyes: it may hold a password.
        let file = tempfile::NamedTempFile::new().map_err(|error| failed(error.to_string()))?;
        contained(|| {
            let path = file.path().to_owned();
            self.flasher.read_flash(offset, len, READ_BLOCK, READ_IN_FLIGHT, path)
        })
        .map_err(|trouble| failed(trouble.text))?;
        std::fs::read(file.path()).map_err(|error| failed(error.to_string()))
    }

    /// Writes all of a plan, compares the flash with it, and starts the application where the board
    /// can be reset. What the flash has already is not written again.
    ///
    /// # Errors
    ///
    /// [`BoardError::Failed`]: the board may be written in part, and can be written again.
    pub fn write(&mut self, plan: &Plan<'_>, tell: &mut dyn FnMut(Step)) -> Result<(), BoardError> {
        let segments = plan.segments().map(|(addr, bytes)| {
            let mut data = bytes.to_vec();
            // Flash is written by the word.
            data.resize(bytes.len().next_multiple_of(4), 0xFF);
            Segment { addr, data: data.into() }
        });
        let mut progress = Progress { tell, offset: 0, total: 0 };
        contained(|| self.flasher.write_bins_to_flash(&segments, &mut progress)).map_err(
            |trouble| BoardError::Failed { what: "writing the flash", error: trouble.text },
        )
    }

    /// Lets go of the board: starts the application that it has, where it can be reset.
    ///
    /// # Errors
    ///
    /// [`BoardError::Failed`]
    pub fn release(mut self) -> Result<(), BoardError> {
        let chip = self.flasher.chip();
        contained(|| self.flasher.connection().reset_after(true, chip)).map_err(|trouble| {
            BoardError::Failed { what: "starting the board", error: trouble.text }
        })
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("chip", &self.chip)
            .field("mac", &self.mac)
            .finish_non_exhaustive()
    }
}

fn open(path: &str) -> Result<TTYPort, BoardError> {
    TTYPort::open(&serialport::new(path, FIRST_BAUD).timeout(TIMEOUT))
        .map_err(|error| cant_open(path.to_owned(), error))
}

fn cant_open(port: String, error: serialport::Error) -> BoardError {
    match error.kind() {
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => BoardError::Permission(port),
        // EBUSY, and a lock that another program holds.
        ErrorKind::NoDevice => BoardError::Busy(port),
        _ => BoardError::Open { port, error },
    }
}

/// What went wrong between a board and the library.
#[derive(Debug)]
struct Trouble {
    /// Whether the line is to blame: nothing came, or nothing that makes sense.
    line: bool,
    text: String,
}

/// Runs what listens to a board. What comes down a serial line may be anything, and the library
/// takes some of it for granted: that is the board's fault, and not the end of this program.
fn contained<T>(work: impl FnOnce() -> Result<T, Espflash>) -> Result<T, Trouble> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    match done {
        Ok(done) => done.map_err(|error| Trouble {
            line: matches!(error, Espflash::Connection(_) | Espflash::Flashing(_)),
            text: chain(&error),
        }),
        Err(_) => Err(Trouble { line: true, text: "what it says is nonsense".to_owned() }),
    }
}

/// An error and what it comes from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some repeat what they come from.
        if !text.ends_with(&cause) {
            text.extend([": ", &cause]);
        }
        source = error.source();
    }
    text
}

/// Tells in our words what the library tells.
struct Progress<'a> {
    tell: &'a mut dyn FnMut(Step),
    offset: u32,
    total: usize,
}

impl Progress<'_> {
    fn writing(&mut self, done: usize) {
        (self.tell)(Step::Writing { offset: self.offset, done, total: self.total });
    }
}

impl ProgressCallbacks for Progress<'_> {
    fn init(&mut self, addr: u32, total: usize) {
        (self.offset, self.total) = (addr, total);
        self.writing(0);
    }

    fn update(&mut self, current: usize) {
        self.writing(current);
    }

    fn verifying(&mut self) {
        (self.tell)(Step::Checking);
    }

    fn finish(&mut self, skipped: bool) {
        (self.tell)(Step::Done { unchanged: skipped });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_it_comes_from() {
        let inner = io::Error::other("the line is cut");
        let outer = Espflash::Connection(Box::new(inner));
        assert_eq!(chain(&outer), "Error while connecting to device: the line is cut");
        let trouble = contained(|| Err::<(), _>(outer)).unwrap_err();
        assert!(trouble.line && trouble.text.ends_with(": the line is cut"), "{trouble:?}");
        let trouble = contained(|| Err::<(), _>(Espflash::FlashConnect)).unwrap_err();
        assert!(!trouble.line, "{trouble:?}");
        let twice = serialport::Error::from(io::Error::other("the line is cut"));
        assert_eq!(chain(&twice), "the line is cut");
    }

    #[test]
    fn nonsense_on_the_line_does_not_end_the_program() {
        let nonsense: &[u8] = &[];
        let done = contained(|| Ok(nonsense[usize::from(nonsense.is_empty())]));
        assert_eq!(done.unwrap_err().text, "what it says is nonsense");
    }

    #[test]
    fn a_port_that_can_not_be_opened_says_why() {
        let said =
            |kind| cant_open("/dev/x".into(), serialport::Error::new(kind, "why")).to_string();
        let permission = said(ErrorKind::Io(io::ErrorKind::PermissionDenied));
        assert!(permission.contains("/dev/x") && permission.contains("dialout"), "{permission}");
        assert!(said(ErrorKind::NoDevice).starts_with("/dev/x is in use"));
        assert_eq!(said(ErrorKind::Unknown), "can't open /dev/x: why");
        let error = open("/no/such/port").unwrap_err();
        assert!(error.to_string().contains("/no/such/port"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("no-tty");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(open(file.to_str().unwrap()), Err(BoardError::Open { .. })));
    }
}
