//! What can go wrong with the broker as a whole.

/// The router or the front has ended: the process has to.
#[derive(Debug, thiserror::Error)]
#[error("the broker has ended")]
pub struct BrokerEnded;

/// The broker could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub(super) String);
