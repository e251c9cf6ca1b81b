//! Credentials that a service gives, and what is told when it does not.

use std::fs;
use std::path::Path;

use gapless::bucket::{Bucket, BucketSettings, CredentialSource};
use gapless::net::tls;
use hyper::Method;

use crate::support::object_store::{BUCKET, LineFault, REGION, SECRET, TestStore};

/// A store, and a bucket in it whose credentials another service gives, at this path of its own store.
fn served(store: &TestStore, service: &str, token_file: &Path) -> Bucket {
    let token_file = token_file.to_str().unwrap().to_owned();
    let source = CredentialSource::ContainerAddress { uri: format!("{service}/creds"), token_file };
    let settings = BucketSettings::new(&store.url(), BUCKET, REGION, "", false, source).unwrap();
    Bucket::new(settings, &tls::trusting_nobody().unwrap()).unwrap()
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_not_the_stores_doing() {
    let (store, service) = (TestStore::start(), TestStore::start());
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let keys = |key: &str, token: &str| {
        serde_json::json!({
            "AccessKeyId": key, "SecretAccessKey": SECRET, "Token": token, "Expiration": "2100-01-01T00:00:00Z"
        })
        .to_string()
    };
    let gone = TestStore::start().url();
    let denied = |status| LineFault::Answers(status, "<Error>hush</Error>".to_owned());
    for (text, service_url, answer, told) in [
        (None, service.url(), denied(200), "No such file"),
        (Some("a\n"), service.url(), denied(200), "no line of printable ASCII"),
        (Some(""), service.url(), denied(200), "no line of printable ASCII"),
        (Some("hush-token"), service.url(), denied(403), "answered 403"),
        (Some("hush-token"), service.url(), denied(200), "has no credentials"),
        (Some("hush-token"), service.url(), LineFault::Answers(200, keys("a\nb", "t")), "no access key of printable"),
        (
            Some("hush-token"),
            service.url(),
            LineFault::Answers(200, keys("key", "hush\nhush")),
            "no access key of printable",
        ),
        (Some("hush-token"), service.url(), LineFault::Answers(200, "x".repeat(70 << 10)), "is larger than"),
        (Some("hush-token"), gone.clone(), denied(200), "no connection"),
    ] {
        fs::remove_file(&token).ok();
        text.map_or(Ok(()), |text| fs::write(&token, text)).unwrap();
        service.is_well();
        service.fails(Method::GET, "/creds", answer, 9);
        let here = served(&store, &service_url, &token);
        let error = here.list("", None).await.unwrap_err();
        assert!(error.reason() == "no_credentials" && !error.is_loss(), "{error:?}");
        let said = format!("{error} {error:?}");
        assert!(said.contains(told) && said.contains(&format!("the container ({service_url})")), "{told}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
    assert_eq!(store.requests().len(), 0, "the store is not asked");
    service.is_well();
    service.fails(Method::GET, "/creds", LineFault::Answers(200, keys("OTHERKEY", "session")), 9);
    fs::write(&token, "hush-token").unwrap();
    let denied = served(&store, &service.url(), &token).list("", None).await.unwrap_err();
    assert!(denied.reason() == "denied" && store.requests().len() == 1, "{denied}");
    let nowhere = dir.path().join("nowhere").to_str().unwrap().to_owned();
    let identity = CredentialSource::WebIdentity { token_file: nowhere, role: "arn:x".to_owned(), session: None };
    let settings = BucketSettings::new(&store.url(), BUCKET, REGION, "", false, identity).unwrap();
    let error = Bucket::new(settings, &tls::trusting_nobody().unwrap()).unwrap().list("", None).await.unwrap_err();
    let said = error.to_string();
    assert!(
        error.reason() == "no_credentials" && said.contains("the web identity for arn:x gave none: the token in"),
        "{said}"
    );
}
