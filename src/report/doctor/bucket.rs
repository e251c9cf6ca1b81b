//! The bucket, asked once, and the hours that wait for it: whether it answers, to whom, what its clock says, and what is missing.

use std::path::Path;
use std::time::Duration;

use super::CheckResult;
use crate::archive::Span;
use crate::archive::quantity::count;
use crate::archive::retention::RetentionLimits;
use crate::archive::time::SECOND_US;
use crate::bucket::{Bucket, BucketError, BucketLook};
use crate::disk::Base;
use crate::lifecycle::archiving::hours_that_wait;
use crate::wire::ArchiveReport;

/// A person waits for the whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// Stores refuse requests from a quarter of an hour on.
const CLOCK_WARNS: Span = Span::from_us(60 * SECOND_US);

/// A check for each thing that hours need to come there. What a daemon says of itself counts more than what is seen from here.
pub async fn examine(bucket: &Bucket, daemon: Option<&ArchiveReport>) -> Vec<CheckResult> {
    let looked = tokio::time::timeout(PATIENCE, bucket.look()).await;
    let at = bucket.identity();
    let looked = looked.unwrap_or_else(|_| Err(BucketError::Silent { at: at.endpoint.clone(), after: PATIENCE }));
    let look = match looked {
        Ok(look) => look,
        Err(error) => return vec![failed(&error, daemon)],
    };
    let value = format!("{at}, region {}, answers to {}", bucket.region(), bucket.signed_by());
    let mut found = match daemon.and_then(|report| report.failing.as_ref()) {
        Some(failing) => vec![split(&format!("since {}: {}", failing.since, failing.why))],
        None => vec![CheckResult::ok("bucket", value)],
    };
    found.extend(judged(&look));
    found
}

/// How many hours wait for it: as a daemon has counted them, or as the notes on the disk say. Blocks: not for async code.
pub fn waiting(
    base_dir: &Path,
    (bucket, ages): (Option<&Bucket>, &RetentionLimits),
    daemon: Option<&ArchiveReport>,
) -> Option<CheckResult> {
    let named = bucket.map(Bucket::identity);
    let counted = daemon.filter(|report| report.bucket.is_some()).map(|report| report.waiting.hours);
    // The disk has checks of its own.
    let noted =
        || named.and_then(|named| Base::open(base_dir).and_then(|base| hours_that_wait(&base, &named, ages)).ok());
    let hours = counted.or_else(noted)?;
    Some(CheckResult::ok("bucket hours", format!("{} sealed and not in the bucket", count(hours, "hour"))))
}

/// Where no bucket is named.
pub fn none() -> CheckResult {
    CheckResult::ok("bucket", "none is named; sealed hours are kept here alone")
}

fn failed(error: &BucketError, daemon: Option<&ArchiveReport>) -> CheckResult {
    let found = split(&error.to_string());
    // Its settings and variables are its own, and it has no trouble.
    if daemon.is_some_and(|report| report.bucket.is_some() && report.failing.is_none()) {
        let value = format!("the daemon has no trouble with it, and from here: {}", found.value);
        return CheckResult::warn("bucket", value, found.advice.unwrap_or_default());
    }
    found
}

/// The errors say themselves what to do, behind the last semicolon.
fn split(text: &str) -> CheckResult {
    let (value, advice) = text.rsplit_once("; ").unwrap_or((text, "docs/archiving.md says what each reason means"));
    CheckResult::fail("bucket", value, advice)
}

fn judged(look: &BucketLook) -> Vec<CheckResult> {
    let check = "bucket clock";
    let clock = look.clock_ahead.map(|ahead| {
        let seconds = ahead.us().abs() / SECOND_US;
        if ahead.us().abs() < CLOCK_WARNS.us() {
            return CheckResult::ok(check, format!("the store's differs by {seconds} s"));
        }
        let side = if ahead.us() > 0 { "behind" } else { "ahead of" };
        let value = format!("the store's is {seconds} s {side} the one here");
        CheckResult::warn(check, value, "set the clock (timedatectl): stores refuse requests when it differs by 15 min")
    });
    let uploads = if look.lists_uploads {
        CheckResult::ok("bucket uploads", "what a killed upload leaves behind can be found and ended")
    } else {
        CheckResult::warn(
            "bucket uploads",
            "uploads that are open cannot be listed, so that what a killed upload leaves behind is not ended",
            "give the access key s3:ListBucketMultipartUploads and s3:AbortMultipartUpload, or set a rule of the bucket that ends incomplete uploads",
        )
    };
    clock.into_iter().chain([uploads]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::CheckLevel;
    use super::*;

    #[test]
    fn a_clock_is_told_before_the_store_refuses_it() {
        let look =
            |seconds: i64| BucketLook { clock_ahead: Some(Span::from_us(seconds * SECOND_US)), lists_uploads: true };
        let level = |seconds| judged(&look(seconds))[0].level;
        assert_eq!(
            (level(59), level(-59), level(60), level(-60)),
            (CheckLevel::Ok, CheckLevel::Ok, CheckLevel::Warn, CheckLevel::Warn)
        );
        assert!(judged(&look(100))[0].value.contains("100 s behind"));
        let silent = BucketLook { clock_ahead: None, lists_uploads: false };
        assert_eq!(judged(&silent).iter().map(|found| found.level).collect::<Vec<_>>(), [CheckLevel::Warn]);
    }
}
