//! A problem of a node, as the status reports it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OrNewer;
use crate::archive::Timestamp;
use crate::archive::problems::{NodeProblem, Severity};

/// Something that is wrong with a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemReport {
    /// Of which kind, such as `silent`, `bad-names` or `peer`: docs/monitoring.md lists them.
    pub kind: String,
    /// `error` (something does not work), `warning` (something is missing, or soon will be) or `notice` (worth a look).
    #[schema(value_type = Severity)]
    pub level: OrNewer<Severity>,
    /// What is wrong.
    pub what: String,
    /// The channel, quality, directory, peer or job concerned.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// How many files, qualities or segments are concerned, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// Up to three of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub examples: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
    /// The document that says more, by its path in the repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub page: Option<String>,
}

impl From<NodeProblem> for ProblemReport {
    fn from(problem: NodeProblem) -> Self {
        Self {
            kind: problem.kind.as_str().to_owned(),
            level: problem.severity.into(),
            what: problem.what,
            place: problem.place,
            since: problem.since,
            count: problem.count,
            examples: problem.examples,
            advice: problem.advice,
            page: problem.page.map(str::to_owned),
        }
    }
}
