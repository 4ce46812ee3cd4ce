//! The image of a Capteur board for Espressif's chips.
//!
//! Everything that makes a board a board is in [`capteur_node`]; this is what it stands on.
//!
//! # Layout
//!
//! - [`settings`]: what was written into the board's flash, or built in
//! - [`board`]: which pins the parts are on
//! - [`light`]: the photoresistor
//! - [`wifi`]: the station
//! - [`network`]: TCP/IP, and the way to the hub
//! - [`watchdog`]: restarts the chip when the logic gets nowhere
//! - [`vitals`]: what the logic reports to, and how the chip does
#![no_std]
#![no_main]

mod board;
mod light;
mod network;
mod settings;
mod vitals;
mod watchdog;
mod wifi;

use board::Parts;
use capteur_node::{Node, Peripherals, Settings};
use capteur_protocol::{Config, Mac, config::BoardName};
use core::fmt;
use embassy_executor::Spawner;
use embassy_time::{Duration, Timer};
// Both are here for what they give to the linker: an allocator for the radio, a panic handler.
use esp_alloc as _;
use esp_backtrace as _;
use esp_hal::{
    clock::CpuClock,
    gpio::{Input, Output},
    ram,
    rng::Rng,
    timer::timg::TimerGroup,
};
use esp_radio::wifi::Interface;
use light::Photoresistor;
use network::Network;
use static_cell::StaticCell;
use vitals::Vitals;
use watchdog::Watchdog;

// Where the boot loader and the flashing tools look for what this is. It names the chip, so that no
// image is taken for another's.
esp_bootloader_esp_idf::esp_app_desc!(
    env!("CARGO_PKG_VERSION"),
    board::PROJECT,
    esp_bootloader_esp_idf::BUILD_TIME,
    esp_bootloader_esp_idf::BUILD_DATE,
    esp_bootloader_esp_idf::ESP_IDF_COMPATIBLE_VERSION,
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    esp_bootloader_esp_idf::SECURE_VERSION
);

/// The radio's heap: what the boot loader has used, which is of no other use, and then some.
const HEAP_RECLAIMED: usize = 64 * 1024;
const HEAP_MORE: usize = 36 * 1024;

type Board = Node<Network, Output<'static>, Input<'static>, Photoresistor>;

static CONFIG: StaticCell<Config> = StaticCell::new();
static WATCHDOG: StaticCell<Watchdog> = StaticCell::new();
static SOCKETS: StaticCell<network::Sockets> = StaticCell::new();
// The node is here rather than in `main`, whose future lives on the stack's side of the memory.
static NODE: StaticCell<Board> = StaticCell::new();

#[esp_hal::main]
async fn main(spawner: Spawner) -> ! {
    esp_println::logger::init_logger(log::LevelFilter::Info);
    let chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: HEAP_RECLAIMED);
    esp_alloc::heap_allocator!(size: HEAP_MORE);
    let watchdog = &*WATCHDOG.init(Watchdog::start(chip.RTC_TIMER));
    esp_rtos::start(TimerGroup::new(chip.TIMG0).timer0, chip.FROM_CPU_INTR0);

    let config = &*CONFIG.init(settings::load(chip.FLASH));
    let Some(network) = &config.ssid else {
        stuck(watchdog, format_args!("the settings name no Wi-Fi")).await
    };
    let name = config.board.as_ref().map_or(board::DEFAULT, BoardName::as_str);
    let Some(parts) = board::parts!(chip, name) else {
        let known = board::NAMES;
        stuck(watchdog, format_args!("the settings say {name:?}, which is none of {known:?}")).await
    };
    let password = config.passphrase.as_ref();
    let controller = match wifi::start(chip.WIFI, network, password, parts.dbm) {
        Ok(controller) => controller,
        Err(error) => stuck(watchdog, format_args!("no radio: {error:?}")).await,
    };
    let interface = Interface::station();
    let mac = Mac(interface.mac_address());
    let (stack, runner) = network::stack(interface, mac, SOCKETS.init(network::Sockets::new()));
    let (Ok(station), Ok(driver)) = (wifi::stay(controller), network::run(runner)) else {
        stuck(watchdog, format_args!("a task was started twice")).await
    };
    spawner.spawn(station);
    spawner.spawn(driver);

    let Parts { led, led_polarity, button, button_polarity, light, .. } = parts;
    // How the parts on the pins are wired is the owner's to say.
    let led_polarity = config.led.unwrap_or(led_polarity);
    let button_polarity = config.button.unwrap_or(button_polarity);
    let calibration = config.calibration.unwrap_or(light::CALIBRATION);
    let peripherals = Peripherals {
        led: board::led(led, led_polarity),
        button: board::button(button, button_polarity),
        light: Photoresistor::new(chip.ADC1, light, calibration),
    };
    let network = Network::new(stack, config.host(), config.port());
    let mut settings = Settings::new(mac);
    settings.key = config.key;
    settings.wish.clone_from(&config.name);
    settings.led = led_polarity;
    settings.button = button_polarity;
    if let Some(interval) = config.interval {
        settings.light_interval = Duration::from_millis(interval.as_millis().into());
    }
    log::info!("this is {mac}, a {name} on an {}", board::CHIP);
    let node = NODE.init(Node::new(network, peripherals, settings, Rng::new().random()));
    node.run(Vitals::new(watchdog)).await
}

/// Says for ever why the board can't start: only other settings help.
async fn stuck(watchdog: &Watchdog, why: fmt::Arguments<'_>) -> ! {
    loop {
        log::error!("this board can't start: {why}");
        watchdog.feed();
        Timer::after(Duration::from_secs(10)).await;
    }
}

/// What follows a panic, once its message is out: a fresh start.
///
/// `esp-backtrace` calls it by this name.
#[unsafe(no_mangle)]
extern "Rust" fn custom_halt() -> ! {
    esp_hal::system::software_reset()
}
