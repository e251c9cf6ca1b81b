//! Holds the table of routes in `docs/moving-over.md` against the router: what it says is here, with these parameters, is here.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

use super::super::test_node::TestNode;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/moving-over.md"));
/// What no value of is wrong by itself: the name of a template.
const FREE: [&str; 1] = ["template"];

struct OldRoute {
    method: Method,
    path: String,
    parameters: Vec<String>,
    is_here: bool,
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows() -> Vec<OldRoute> {
    let (_, table) = PAGE.split_once("## Every route of their restreamer").unwrap();
    let lines = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [method, path, parameters, here, _] = cells.as_slice() else { panic!("{line}") };
            assert!(["yes", "no"].contains(here), "{line}");
            OldRoute {
                method: method.parse().unwrap(),
                path: quoted(path).remove(0),
                parameters: quoted(parameters),
                is_here: *here == "yes",
            }
        })
        .collect()
}

async fn ask(node: &TestNode, method: &Method, uri: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    let response = node.answer(request).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_table_of_their_routes_says_what_is_here() {
    let node = TestNode::new();
    let name = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";
    node.put("chan/source/2019-11-13T02", [name]);
    let rows = rows();
    assert_eq!(rows.len(), 17, "as many as they have");
    for OldRoute { method, path, parameters, is_here } in rows {
        let asked = path
            .replace("{channel}", "chan")
            .replace("{quality}", "source")
            .replace("{hour}", "2019-11-13T02")
            .replace("{path}", &format!("chan/source/2019-11-13T02/{name}"))
            .replace("{dir}", "chan");
        let (status, text) = ask(&node, &method, &asked).await;
        let is_unknown = status == StatusCode::METHOD_NOT_ALLOWED || text.contains("such address");
        assert_eq!(is_here, !is_unknown, "{method} {path}: {status} {text}");
        // Each parameter is read: nonsense in it is an error that names it.
        for parameter in parameters.iter().filter(|parameter| is_here && !FREE.contains(&parameter.as_str())) {
            let (refused, why) = ask(&node, &method, &format!("{asked}?{parameter}=nonsense")).await;
            let is_told = refused == StatusCode::BAD_REQUEST && why.contains(&format!("The parameter {parameter} "));
            assert!(is_told, "{method} {path} {parameter}: {refused} {why}");
        }
    }
}

#[tokio::test]
async fn what_is_none_of_theirs_is_unknown() {
    let node = TestNode::new();
    for path in ["/thrimshim/templates", "/thrimbletrimmer/edit.html", "/chan/chat.txt", "/chan/x/chat.json"] {
        let (status, text) = ask(&node, &Method::GET, path).await;
        assert!(status == StatusCode::NOT_FOUND && text.contains("such address"), "{path}: {status} {text}");
    }
    for (method, path) in [(Method::GET, "/generate_videos/chan/source"), (Method::POST, "/cut/chan/source.ts")] {
        let (status, text) = ask(&node, &method, path).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}: {text}");
    }
}
