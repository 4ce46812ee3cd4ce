//! Firmware into boards: the images that there are, a board's settings, and the way into its flash.
//!
//! # Layout
//!
//! - [`package`]: a folder of images and what its manifest says of them
//! - [`wishes`]: what a person wants of a board's settings, and what the board has
//! - [`plan`]: what is written into a board, down to the byte
//! - [`port`]: which serial port a board is on
//! - [`board`]: the board on a port, through its boot loader

pub mod board;
pub mod package;
pub mod plan;
pub mod port;
pub mod wishes;

pub use board::{Board, BoardError, Link, Step};
pub use package::{Image, Package, PackageError};
pub use plan::{Plan, PlanError};
pub use port::{Port, PortError};
pub use wishes::{HubAddress, Wifi, Wishes};
