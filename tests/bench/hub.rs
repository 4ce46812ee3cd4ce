//! The hub as a child process, called over HTTP.

use crate::{Outcome, board, machine::SCRATCH, process::Process};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, process::Command, time::Duration};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The program that is measured.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_capteur");

/// A hub with an empty store.
#[derive(Debug)]
pub(crate) struct Hub {
    /// What it uses.
    pub(crate) process: Process,
    /// Where boards connect.
    pub(crate) mqtt: SocketAddr,
    /// Where its API is.
    base: String,
    http: reqwest::Client,
    // Dropped last: the process writes there.
    _folder: TempDir,
}

impl Hub {
    /// Starts a hub with default settings on free loopback ports, and waits until it listens.
    pub(crate) async fn start() -> Outcome<Self> {
        let folder = TempDir::new_in(SCRATCH)?;
        let addresses = folder.path().join("addresses.json");
        let settings = folder.path().join("settings.toml");
        fs::write(&settings, "")?;
        let mut process = Process::start(
            Command::new(BINARY)
                .args(["serve", "--config"])
                .arg(&settings)
                .arg("--addresses-file")
                .arg(&addresses)
                .env_clear()
                .env("CAPTEUR_MQTT__LISTEN", "127.0.0.1:0")
                .env("CAPTEUR_HTTP__LISTEN", "127.0.0.1:0")
                .env("CAPTEUR_STORE__PATH", folder.path().join("store"))
                // One comes a minute after the start.
                .env("CAPTEUR_STORE__BACKUP__ENABLED", "false")
                .env("CAPTEUR_LOG__LEVEL", "warn"),
        )?;
        let give_up_at = Instant::now() + Duration::from_secs(20);
        let text = loop {
            process.check()?;
            if let Ok(text) = fs::read_to_string(&addresses) {
                break text;
            }
            if Instant::now() > give_up_at {
                return Err("the hub does not listen after 20 s".into());
            }
            sleep(Duration::from_millis(10)).await;
        };
        let addresses: Value = serde_json::from_str(&text)?;
        let address = |key: &str| -> Outcome<SocketAddr> {
            Ok(addresses[key].as_str().ok_or_else(|| format!("no address for {key}"))?.parse()?)
        };
        let mqtt = address("mqtt")?;
        let base = format!("http://{}/api/v1", address("http")?);
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { process, mqtt, base, http, _folder: folder })
    }

    /// Switches a board's LED and waits for the confirmation.
    pub(crate) async fn switch(&self, board: u32, on: bool) -> Outcome<()> {
        let url = format!("{}/devices/{}/led", self.base, board::mac(board));
        let answer = self.http.put(url).json(&json!({ "on": on })).send().await?;
        let status = answer.status();
        // Read to its end, so that the connection serves the next call too.
        let body = answer.text().await?;
        if status == reqwest::StatusCode::OK {
            Ok(())
        } else {
            Err(format!("the LED of board {board}: {status} {body}").into())
        }
    }

    /// Fails unless the hub holds the board as online.
    pub(crate) async fn check_online(&self, board: u32) -> Outcome<()> {
        let device = self.get(&format!("/devices/{}", board::mac(board))).await?;
        match device["state"].as_str() {
            Some("online") => Ok(()),
            _ => Err(format!("board {board} is not online: {device}").into()),
        }
    }

    /// How many light readings of a board the hub has recorded, up to 10,000.
    pub(crate) async fn recorded(&self, board: u32) -> Outcome<u64> {
        let mac = board::mac(board);
        let path = format!("/devices/{mac}/readings/photoresistor?resolution=raw&limit=10000");
        let readings = self.get(&path).await?;
        let points = readings["points"].as_array().ok_or("readings without points")?;
        Ok(u64::try_from(points.len())?)
    }

    /// The live stream.
    pub(crate) async fn events(&self) -> Outcome<reqwest::Response> {
        Ok(self.http.get(format!("{}/events", self.base)).send().await?.error_for_status()?)
    }

    async fn get(&self, path: &str) -> Outcome<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
