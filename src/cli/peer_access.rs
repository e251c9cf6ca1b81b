//! Which other nodes there are, whom to trust, and what to show where one of them or the daemon is asked.

use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;
use tokio::sync::watch;

use super::config::Config;
use super::exit::UsageError;
use crate::net::tls::{self, ClientConfig};
use crate::net::tokens::{self, Token};
use crate::replicate::peer::{Peer, PeerClient, PeerLimits};
use crate::replicate::sources::{
    Connection, Database, OwnNode, SourceEntry, SourceError, SourceOptions, Sources, Trust,
};

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

/// The lists of nodes that are configured or given. Asks none of them.
pub fn sources(config: &Config) -> anyhow::Result<SourceOptions> {
    let backfill = &config.backfill;
    let wrong = |error: SourceError| UsageError(format!("backfill.node_database: {error}"));
    let given = backfill
        .peers
        .iter()
        .map(|text| SourceEntry::parse(text).map_err(|error| UsageError(format!("--peer or backfill.peers: {error}"))));
    let database = match backfill.node_database.reveal() {
        Some(text) => Some(Database::new(
            Connection::parse(text).map_err(wrong)?,
            backfill.node_database_query.clone(),
            backfill.node_database_password_file.clone(),
            backfill.node_database_ca_file.clone(),
        )),
        None => None,
    };
    Ok(SourceOptions {
        given: given.collect::<Result<_, _>>()?,
        file: backfill.node_file.clone(),
        database: database.transpose().map_err(wrong)?,
        trust: Trust::parse(&backfill.tombstones_from),
        reread: backfill.reread,
    })
}

/// Reads `[NAME=]URL`; without a name a peer is called by its address. Its tombstones are not taken over.
pub fn peer(text: &str) -> Result<Peer, UsageError> {
    let entry = SourceEntry::parse(text).map_err(|error| UsageError(format!("--peer: {error}")))?;
    Ok(Peer { name: entry.name, url: entry.url, trusted: false })
}

/// Every node that these lists name now.
pub async fn peers_now(config: &Config) -> anyhow::Result<watch::Receiver<Vec<Peer>>> {
    let own = OwnNode { listen: None };
    let sources = Sources::new(sources(config)?, own, &config.state_dir, &Registry::new())?;
    sources.once().await;
    Ok(sources.peers())
}
