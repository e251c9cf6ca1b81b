//! Parameters that an address of `/api/v1` does not know are refused: one that is mistyped would be passed over, and the answer be one to
//! another question.
//!
//! What other programs of this field speak (listings, files, playlists, cuts) takes whatever they send, and so does what other nodes ask: a
//! later version may say more, and is to be answered all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{PathItem, Paths, RefOr};

use super::Problem;
use super::request::pairs;
use crate::archive::misspelt;

/// What our own addresses begin with.
const OURS: &str = "/api/v1/";
/// What those of them begin with that other nodes ask.
const ASKED_BY_NODES: [&str; 3] = ["/api/v1/bundle", "/api/v1/changes", "/api/v1/digests"];

/// The names that a query may have at one address, by method, as its documentation has them.
#[derive(Debug, Default)]
pub(super) struct KnownParameters(BTreeMap<Method, BTreeSet<String>>);

impl KnownParameters {
    /// Of a route; nothing is refused where another program decides what is sent.
    pub(super) fn of(paths: &Paths) -> Arc<Self> {
        let is_ours =
            |path: &str| path.starts_with(OURS) && !ASKED_BY_NODES.iter().any(|asked| path.starts_with(asked));
        let ours = paths.paths.iter().filter(|(path, _)| is_ours(path));
        Arc::new(Self(ours.flat_map(|(_, item)| methods(item)).collect()))
    }

    fn unknown(&self, method: &Method, query: &str) -> Option<Problem> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let known = self.0.get(method)?;
        let (name, _) = pairs(query).find(|(name, _)| !known.contains(name))?;
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        Some(Problem::unknown_parameter(&name, misspelt::meant(&name, names.iter().copied()), &names))
    }
}

fn methods(item: &PathItem) -> Vec<(Method, BTreeSet<String>)> {
    let all = [(Method::GET, &item.get), (Method::POST, &item.post), (Method::PUT, &item.put)];
    all.into_iter().filter_map(|(method, operation)| Some((method, names(operation.as_ref()?)))).collect()
}

fn names(operation: &Operation) -> BTreeSet<String> {
    let written = operation.parameters.iter().flatten().filter_map(|one| match one {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    written.filter(|one| one.parameter_in == ParameterIn::Query).map(|one| one.name.clone()).collect()
}

/// Middleware around the handlers of one route.
pub(super) async fn refuse_unknown(
    State(known): State<Arc<KnownParameters>>,
    request: Request,
    next: Next,
) -> Response {
    match request.uri().query().and_then(|query| known.unknown(request.method(), query)) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}
