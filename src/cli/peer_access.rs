//! Whom to trust, and what to show, where another node or the daemon is asked.

use std::path::Path;
use std::sync::Arc;

use super::config::Config;
use super::exit::UsageError;
use crate::net::tls::{self, ClientConfig};
use crate::net::tokens::{self, Token};
use crate::replicate::peer::{PeerClient, PeerLimits};

pub fn token(file: &Path) -> Result<Token, UsageError> {
    tokens::read_one(file).map_err(|error| UsageError(error.to_string()))
}

/// Whom to trust where another node is asked over https.
pub fn trusted(config: &Config) -> anyhow::Result<Arc<ClientConfig>> {
    let trusted = tls::trusting(config.backfill.ca_file.as_deref());
    Ok(trusted.map_err(|error| UsageError(format!("backfill.ca_file: {error}")))?)
}

pub fn client(config: &Config) -> anyhow::Result<PeerClient> {
    let token = config.backfill.token_file.as_deref().map(token).transpose()?;
    Ok(PeerClient::with_token(PeerLimits::default(), trusted(config)?.as_ref(), token.as_ref())?)
}
