//! A Capteur board on QEMU's bare RISC-V machine, `virt`: the same logic as on the chips, without an
//! operating system, 32 bits wide, over a real TCP/IP stack. What it can't show is what Espressif's
//! chips bring: radio, pins, flash.
//!
//! A test harness, not a product: it looks at everything once a millisecond instead of waiting for
//! interrupts. `tests/stories/emulated.py` starts it.
//!
//! # Layout
//!
//! - [`start`]: from power-on to `main`, and the ways out
//! - [`uart`]: the serial port
//! - [`clock`]: the clock, and how the program sleeps
//! - [`nic`]: the network card
//! - [`network`]: TCP/IP, and the way to the hub
//! - [`pins`]: LED, button and sensor
#![no_std]
#![no_main]

mod clock;
mod network;
mod nic;
mod pins;
mod start;
mod uart;

use capteur_node::{Node, Peripherals, Phase, Settings, Supervisor};
use capteur_protocol::{Config, Info, Mac, config};
use embassy_futures::join::join;
use embassy_time::{Duration, Instant};
use network::Network;
use nic::Nic;
use pins::{Button, Led, Ramp};
use static_cell::StaticCell;

/// Where QEMU is told to load the settings: high in the machine's 128 MB of RAM, where nothing of this
/// program is.
const CONFIG: *const [u8; config::ENCODED_MAX] = 0x8700_0000 as *const _;

type Board = Node<Network, Led, Button, Ramp>;

/// Entered from `start`, once.
extern "C" fn main() -> ! {
    static CONFIGS: StaticCell<Config> = StaticCell::new();
    static SOCKETS: StaticCell<network::Sockets> = StaticCell::new();
    static NODE: StaticCell<Board> = StaticCell::new();

    uart::start_log();
    // SAFETY: it is RAM that nothing else uses, and any bytes will do.
    let config = Config::decode(unsafe { &*CONFIG }).expect("QEMU is given whole settings");
    let config = CONFIGS.init(config.expect("QEMU is given settings"));
    let nic = Nic::find();
    let mac = Mac(nic.mac());
    let (stack, mut runner) = network::stack(nic, SOCKETS.init(network::Sockets::new()));
    let mut settings = Settings::new(mac);
    settings.key = config.key;
    settings.wish.clone_from(&config.name);
    if let Some(interval) = config.interval {
        settings.light_interval = Duration::from_millis(interval.as_millis().into());
    }
    let peripherals = Peripherals { led: Led, button: Button::default(), light: Ramp::default() };
    let network = Network::new(stack, config.host(), config.port());
    // One board needs no spread of its retries, and a test is better off with the same each time.
    let node = NODE.init(Node::new(network, peripherals, settings, 1));
    log::info!("this is {mac}");
    match clock::run(join(runner.run(), node.run(Vitals))) {}
}

/// Writes the logic's turns into the log, and tells the hub what this is.
struct Vitals;

impl Supervisor for Vitals {
    fn phase(&mut self, phase: Phase<'_>) {
        log::info!("{phase:?}");
    }

    fn info(&mut self) -> Option<Info> {
        Some(Info {
            firmware: env!("CARGO_PKG_VERSION").parse().ok(),
            chip: "qemu-virt".parse().ok(),
            uptime_s: Instant::now().as_secs().try_into().ok(),
            ..Info::default()
        })
    }
}
