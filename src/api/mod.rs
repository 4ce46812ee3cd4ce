//! warp: REST, SSE, page, metrics. (Stub: replaced by the API room.)

use crate::{
    broker::Broker, config, events::Events, model::Clock, registry::Registry, store::Store,
};
use std::sync::Arc;

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
    /// `[http]`.
    pub settings: config::Http,
}
