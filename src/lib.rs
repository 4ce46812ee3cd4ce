//! Capteur: the hub your ESP32s come home to.
//!
//! One process embeds an MQTT broker, knows every device and its sessions, keeps readings on the
//! medium before it acknowledges them, and serves an API and a live page. Data flows down through
//! the rooms; no room knows the room above it.
//!
//! # Layout
//!
//! - [`model`]: what the rooms say to one another
//! - [`config`] reads the settings
//! - [`clock`]: the time of day on a machine that may have none
//! - [`broker`]: the MQTT server, our own front over rumqttd's router
//! - [`store`]: devices and readings in sled
//! - [`events`]: the live stream with replay
//! - [`export`]: readings as CSV and JSON
//! - [`registry`]: the session protocol, and the in-process client that feeds it
//! - [`api`]: REST, SSE, the page and metrics over warp
//! - [`addresses`]: where a hub listens, in a file
//! - [`mdns`]: the hub's name on the network
//! - [`nightly`]: the backup of every night
//! - [`hub`]: builds the rooms, ties them and stops them
//! - [`supervisor`]: what the service manager is told
//! - [`firmware`]: images and settings, and the way into a board's flash
//! - [`simulate`]: ESP32s on a host, for demos and tests
//! - [`cli`]: the commands

pub mod addresses;
pub mod api;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod events;
pub mod export;
pub mod firmware;
pub mod hub;
pub mod mdns;
pub mod model;
pub mod nightly;
pub mod registry;
pub mod simulate;
pub mod store;
pub mod supervisor;
