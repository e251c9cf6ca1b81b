//! Arguments of `doctor`: what the daemon would be given, as far as it is looked at.

/// Arguments of `doctor`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DoctorArgs {
    /// Another node to ask, besides those that the running daemon knows; may be given several times
    #[arg(long, value_name = "[NAME=]URL", env = "GAPLESS_PEERS", value_delimiter = ',')]
    pub peer: Vec<String>,
    /// The token.
    #[arg(
        long,
        value_name = "FILE",
        help = "File with the one token that is shown to other nodes [env: GAPLESS_BACKFILL_TOKEN_FILE]"
    )]
    pub token_file: Option<String>,
    /// Whom to trust.
    #[arg(
        long,
        value_name = "FILE",
        help = "Trust only these authorities (PEM) for https to other nodes [env: GAPLESS_BACKFILL_CA_FILE]"
    )]
    pub ca_file: Option<String>,
    /// Where the node is to listen.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where the node is to listen [env: GAPLESS_LISTEN] [default: 127.0.0.1:8000]"
    )]
    pub listen: Option<String>,
}

impl DoctorArgs {
    /// The settings that were given as flags.
    pub(super) fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("listen", self.listen.clone()),
            ("backfill.token_file", self.token_file.clone()),
            ("backfill.peers", Some(self.peer.join(",")).filter(|peers| !peers.is_empty())),
        ]
    }
}
