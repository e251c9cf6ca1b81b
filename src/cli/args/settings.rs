//! Flags that are also settings: `config` reads them with the parser of the file and the environment.

use super::{Args, BackfillArgs, DiffArgs, ExplainArgs, NodeArgs, RetentionArgs, RetentionVerb, Verb};

impl Args {
    /// The settings that were given as flags: key and text.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut given = vec![("log", self.common.log.clone())];
        if let Verb::Node(node) = &self.verb {
            given.push(("listen", node.listen.clone()));
            given.push(("name", node.name.clone()));
            given.push(("http.write_tokens", node.write_tokens.clone()));
            given.push(("http.read_tokens", node.read_tokens.clone()));
            given.push(("http.tls_certificate", node.tls_certificate.clone()));
            given.push(("http.tls_key", node.tls_key.clone()));
        }
        if let Verb::Diff(DiffArgs { rules, .. }) | Verb::Explain(ExplainArgs { rules, .. }) = &self.verb {
            given.push(("backfill.token_file", rules.token_file.clone()));
        }
        if let Verb::Backfill(backfill) = &self.verb {
            given.push(("name", backfill.name.clone()));
        }
        if let Verb::Doctor(doctor) = &self.verb {
            given.extend(doctor.settings());
        }
        given.push(("backfill.ca_file", self.ca_file()));
        if let Verb::Node(NodeArgs { peers, .. }) | Verb::Backfill(BackfillArgs { peers, .. }) = &self.verb {
            given.push(("backfill.token_file", peers.token_file.clone()));
            given.push(("backfill.peers", Some(peers.peer.join(",")).filter(|peers| !peers.is_empty())));
            given.push(("backfill.node_file", peers.node_file.clone()));
            given.push(("backfill.node_database", peers.node_database.clone()));
            given.push(("backfill.tombstones_from", peers.distrust_tombstones.then(|| "none".to_owned())));
        }
        given.into_iter().filter_map(|(key, value)| value.map(|text| (key, text))).collect()
    }

    fn ca_file(&self) -> Option<String> {
        match &self.verb {
            Verb::Node(NodeArgs { peers, .. })
            | Verb::Backfill(BackfillArgs { peers, .. })
            | Verb::Retention(RetentionArgs { verb: RetentionVerb::Run { peers, .. } }) => peers.ca_file.clone(),
            Verb::Status(status) => status.node.ca_file.clone(),
            Verb::Doctor(doctor) => doctor.ca_file.clone(),
            Verb::Diff(DiffArgs { rules, .. }) | Verb::Explain(ExplainArgs { rules, .. }) => rules.ca_file.clone(),
            Verb::Tombstone(tombstone) => tombstone.what.node().ca_file.clone(),
            Verb::Demo(_)
            | Verb::Scrub(_)
            | Verb::Quarantine(_)
            | Verb::Flagged
            | Verb::Rebuild(_)
            | Verb::Retention(_)
            | Verb::Crawl(_)
            | Verb::Import(_)
            | Verb::Ls(_)
            | Verb::Cut(_)
            | Verb::Holes(_)
            | Verb::Timespans(_)
            | Verb::Coverage(_)
            | Verb::Completions(_)
            | Verb::Man(_) => None,
        }
    }
}
