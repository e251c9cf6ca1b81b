//! Holds the `OpenAPI` document against the router: what it describes is answered, and what is answered it describes.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;

use super::super::test_node::TestNode;

const ROUTER: &str = include_str!("../router.rs");

/// What the document describes, with something in place of its parameters.
fn described(document: &Value) -> Vec<(Method, String)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let filled = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        let filled = filled.collect::<Vec<_>>().join("/");
        let methods = methods.as_object().unwrap().keys().filter(|key| *key != "parameters");
        all.extend(methods.map(|method| (method.to_uppercase().parse().unwrap(), filled.clone())));
    }
    all
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_of_a_route() {
    let node = TestNode::new();
    let (_, _, text) = node.ask("/api/v1/openapi.json", &[]).await;
    let document: Value = serde_json::from_slice(&text).unwrap();
    let described = described(&document);
    let mut handlers = 0;
    for routes in ROUTER.lines().filter(|line| line.contains(".routes(")) {
        let (_, named) = routes.split_once("routes!(").unwrap_or_else(|| panic!("not described: {routes}"));
        handlers += named.split(',').count();
    }
    assert!(!ROUTER.contains(".route(") && handlers > 50, "a route of which the document says nothing");
    assert_eq!(described.len(), handlers);
    for (method, path) in described {
        // What asks for a right is a route, too.
        let answer = node.answer(Request::builder().method(&method).uri(&path).body(Body::empty()).unwrap()).await;
        let status = answer.status();
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        if status == StatusCode::NOT_FOUND {
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("such address; see"), "{method} {path}");
        }
        // The other methods are refused, with those that are answered.
        let refused = node.answer(Request::delete(&path).body(Body::empty()).unwrap()).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = refused.headers()["allow"].to_str().unwrap();
        assert!(allowed.split(", ").any(|each| each == method.as_str()), "{method} {path}: {allowed}");
    }
}
