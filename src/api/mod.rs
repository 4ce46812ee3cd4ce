//! The API over warp: devices, commands, readings, the live stream, health, metrics and the page.
//!
//! # Layout
//!
//! - [`server`]: connections, their limits and their end
//! - `request`: what a handler gets of a request
//! - `caller`: who is asking
//! - `guard`: refuses foreign hosts and origins before any handler runs
//! - `problem`: every error, as RFC 9457 has it
//! - `query`, `body`: parameters and JSON bodies, refused by the name of what is wrong
//! - `paging`: answers that are cut, and the link to the rest
//! - `reply`: answers, and the headers that all of them carry
//! - `devices`, `replacement`, `led`, `commands`, `readings`, `log`, `export`, `backup`: the
//!   resources
//! - `stream`: the live stream as server-sent events
//! - `health`, `metrics`: for monitors
//! - `storage`: how the store is, for these three
//! - `openapi`: the description of all of this, made from the code by a test
//! - `page`: the files of the live page, built into the binary

mod backup;
mod body;
mod caller;
mod commands;
mod devices;
mod export;
mod guard;
mod health;
mod led;
mod log;
mod metrics;
mod openapi;
mod page;
mod paging;
mod problem;
mod query;
mod readings;
mod replacement;
mod reply;
mod request;
pub mod server;
mod storage;
mod stream;
#[cfg(test)]
mod tests;

pub use server::serve;

use crate::{
    broker::Broker,
    config,
    events::Events,
    model::Clock,
    nightly::LastBackup,
    registry::Registry,
    store::{Recovery, Store},
};
use std::{fmt, sync::Arc};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

/// What the API answers from.
#[derive(Clone)]
pub struct Context {
    /// Who is who.
    pub registry: Registry,
    /// Readings and logs.
    pub store: Store,
    /// The live stream.
    pub events: Events,
    /// For its figures and its health.
    pub broker: Broker,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What became of the nightly backup.
    pub backups: watch::Receiver<LastBackup>,
    /// The last recovery of the store, as long as the damaged one is kept.
    pub recovery: Option<Arc<Recovery>>,
    /// `[http]`.
    pub settings: config::Http,
    /// The TCP port that boards connect to.
    pub mqtt_port: u16,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The context and what the API itself keeps between requests.
struct Api {
    context: Context,
    started: Instant,
    figures: metrics::Figures,
    probes: health::Probes,
    /// One permit for each server-sent event stream that may still be opened.
    streams: Arc<Semaphore>,
    /// One permit for each export that may still be started.
    exports: Arc<Semaphore>,
    /// Becomes `true` when the hub stops; streams end then, since nothing else would end them.
    stopping: watch::Receiver<bool>,
}

impl Api {
    fn new(context: Context, stopping: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            context,
            started: Instant::now(),
            figures: metrics::Figures::default(),
            probes: health::Probes::default(),
            streams: Arc::new(Semaphore::new(stream::STREAMS_MAX)),
            exports: Arc::new(Semaphore::new(export::EXPORTS_MAX)),
            stopping,
        })
    }
}

/// Everything that the hub answers on its HTTP port.
fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let resources = [
        devices::routes(api),
        replacement::routes(api),
        led::routes(api),
        commands::routes(api),
        readings::routes(api),
        log::routes(api),
        export::routes(api),
        backup::routes(api),
        stream::routes(api),
        health::routes(api),
        openapi::routes(api),
        metrics::routes(api),
        problem::routes(api),
        page::routes(api),
    ];
    let nothing = warp::any().and_then(async || Err(warp::reject::not_found())).boxed();
    let any = resources
        .into_iter()
        .rev()
        .fold(nothing, |rest, resource| resource.or(rest).unify().boxed());
    let api = Arc::clone(api);
    guard::filter(&api)
        .and(any)
        .recover(problem::recover)
        .unify()
        .map(move |response| reply::finish(&api, response))
        .boxed()
}
