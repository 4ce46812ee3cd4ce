//! The hub's name on the network: multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
//!
//! A board whose settings name no hub asks for `capteur.local`, and so does a person's browser. The
//! hub answers with its addresses, and lists its page and its MQTT port for programs that look for
//! such services. The answers come from a thread of the library mdns-sd, which shares UDP port 5353
//! with any other responder of the machine, follows its addresses, and says goodbye at the end.
//!
//! Whatever goes wrong here is a warning: a hub without a name is a hub.
//!
//! # Layout
//!
//! - `reach`: on which interfaces and at which addresses the hub is told of
//! - `responder`: mdns-sd under one name, from its start to its end

mod reach;
mod responder;

use crate::{addresses::Addresses, config};
use mdns_sd::MDNS_PORT;
use reach::Reach;
use responder::{Responder, ResponderError, Service};
use std::{future::Future, time::Duration};
use tokio::time::sleep;
use tracing::{debug, warn};

/// How long it takes until what has failed is tried again.
const RETRY: Duration = Duration::from_mins(1);

/// How soon after the start it is looked whether another machine answers to the name, too.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The task that gives the hub its name.
#[derive(Debug)]
pub struct Mdns {
    /// The host name without `.local`.
    name: String,
    services: Vec<Service>,
    /// `None` where nobody could connect, or nothing is to be said.
    reach: Option<Reach>,
    port: u16,
    retry: Duration,
    first_pause: Duration,
}

impl Mdns {
    /// What is to be told of a hub that listens on `addresses`; its MQTT listener says to whom.
    pub fn new(settings: &config::Mdns, addresses: &Addresses) -> Self {
        let Addresses { mqtt, http } = *addresses;
        let mut services = vec![Service { kind: "_mqtt._tcp", port: mqtt.port(), text: &[] }];
        // A page for this machine alone, behind a proxy as a rule, is nobody else's to find.
        if reach::covers(http.ip(), mqtt.ip()) {
            let text = &[("path", "/")];
            services.push(Service { kind: "_http._tcp", port: http.port(), text });
        }
        let reach = Reach::new(mqtt.ip(), &settings.interfaces);
        Self {
            // Names are the same in capitals (RFC 6762, section 16), but not to all who ask: the
            // boards' TCP/IP stack takes only an answer that is written as its question.
            name: settings.name.to_ascii_lowercase(),
            services,
            reach: reach.filter(|_| !settings.name.is_empty()),
            port: MDNS_PORT,
            retry: RETRY,
            first_pause: FIRST_PAUSE,
        }
    }

    /// Answers until `shutdown`. Where another machine has the name, goes on under one with a number
    /// behind it.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Some(reach) = &self.reach else { return };
        let mut shutdown = std::pin::pin!(shutdown);
        let mut name = self.name.clone();
        let mut pause = self.first_pause;
        let mut warned = String::new();
        loop {
            let ended = match Responder::start(&name, &self.services, reach, self.port) {
                Ok(mut responder) => {
                    let ended = tokio::select! {
                        () = &mut shutdown => None,
                        ended = responder.lost(&mut pause) => Some(ended),
                    };
                    responder.stop().await;
                    let Some(ended) = ended else { return };
                    ended
                }
                Err(error) => Err(error),
            };
            match ended {
                // Begins anew, so that the new name holds on all interfaces and in all records.
                Ok(free) => {
                    warn!(
                        "another machine on the network is {name}.local: until it is started again \
                         this hub is {free}.local"
                    );
                    name = free;
                    pause = self.first_pause;
                    warned.clear();
                }
                Err(error) => {
                    warn_once(&mut warned, &name, &error);
                    tokio::select! {
                        () = &mut shutdown => return,
                        () = sleep(self.retry) => {}
                    }
                }
            }
        }
    }
}

/// Says why nobody finds the hub; what is tried every minute is not said every minute.
fn warn_once(warned: &mut String, name: &str, error: &ResponderError) {
    let text = error.to_string();
    if *warned == text {
        debug!("{name}.local is still not answered: {text}");
    } else {
        warn!("nobody finds the hub as {name}.local (it is tried again): {text}");
        *warned = text;
    }
}

#[cfg(test)]
mod tests;
