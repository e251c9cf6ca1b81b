//! When an address stops working, where it says so itself: pure.
//!
//! Nobody has agreed on a form. What is known here is a time in seconds or milliseconds since 1970 under one of the [`NAMES`], in the query, in the path
//! (`/expire/1700000000/`) or in a token of several parts (`hdnts=exp=1700000000~acl=/*`), and the signature of S3 (`X-Amz-Date` and
//! `X-Amz-Expires`). A time that is not understood is none: then the address is followed until it is refused.

use chrono::NaiveDateTime;
use reqwest::Url;

use crate::archive::time::SECOND_US;
use crate::archive::{Span, Timestamp};

/// What signed addresses call the time, in lower case.
const NAMES: [&str; 9] = ["e", "end", "endtime", "exp", "expire", "expires", "expiry", "validto", "wowzatokenendtime"];
/// No address holds longer than a signature of S3 may.
const LONGEST: Span = Span::from_us(7 * 24 * 3_600 * SECOND_US);

/// When an address expires that was given now: later than that, and the earliest time if it says several.
pub fn address_expiry(url: &Url, now: Timestamp) -> Option<Timestamp> {
    let query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    let path: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    let in_path = path.windows(2).filter_map(|pair| Some((pair.first()?.to_lowercase(), *pair.get(1)?)));
    let tokens = query.iter().map(|(_, value)| &**value).chain(path.iter().copied());
    let in_tokens = tokens.flat_map(|token| token.split('~')).filter_map(|part| part.split_once('='));
    let said = query.iter().map(|(name, value)| (name.clone(), &**value)).chain(in_path);
    let said = said.chain(in_tokens.map(|(name, value)| (name.to_lowercase(), value)));
    let times = said.filter(|(name, _)| NAMES.contains(&&**name)).filter_map(|(_, value)| since_1970(value));
    times.chain(of_s3(&query)).filter(|time| *time > now && *time <= now + LONGEST).min()
}

fn since_1970(digits: &str) -> Option<Timestamp> {
    let count: i64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    match digits.len() {
        10 => Some(Timestamp::from_us(count * SECOND_US)),
        13 => Some(Timestamp::from_us(count * 1_000)),
        _ => None,
    }
}

fn of_s3(query: &[(String, String)]) -> Option<Timestamp> {
    let value = |name: &str| query.iter().find(|(said, _)| said == name).map(|(_, value)| value);
    let signed = NaiveDateTime::parse_from_str(value("x-amz-date")?, "%Y%m%dT%H%M%SZ").ok()?;
    let holds: i64 =
        value("x-amz-expires")?.parse().ok().filter(|seconds| (0..=i64::from(u32::MAX)).contains(seconds))?;
    Some(Timestamp::from_us(signed.and_utc().timestamp_micros()) + Span::from_us(holds * SECOND_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    /// Seconds from now on.
    fn expires_in(address: &str) -> Option<i64> {
        let url = Url::parse(&format!("https://cdn.example{address}")).unwrap();
        let expiry = address_expiry(&url, Timestamp::from_us(NOW * SECOND_US))?;
        Some(expiry.us() / SECOND_US - NOW)
    }

    #[test]
    fn signed_addresses_of_many_makers_say_until_when_they_hold() {
        for (address, seconds) in [
            ("/live.m3u8?md5=x&expires=1700003600", 3_600),
            ("/live.m3u8?Expires=1700000060&Signature=x&Key-Pair-Id=y", 60),
            ("/live.m3u8?hdnts=st=1699999990~exp=1700000300~acl=/*~hmac=00", 300),
            ("/exp=1700000300~acl=%2f*~hmac=00/live.m3u8", 300),
            ("/api/manifest/hls_playlist/expire/1700021600/ei/x/playlist/index.m3u8", 21_600),
            ("/live.m3u8?e=1700000120000", 120),
            ("/live.m3u8?X-Amz-Date=20231114T221320Z&X-Amz-Expires=900&X-Amz-Signature=x", 900),
            ("/live.m3u8?exp=1700000500&expires=1700000400", 400),
        ] {
            assert_eq!(expires_in(address), Some(seconds), "{address}");
        }
    }

    #[test]
    fn what_is_no_time_to_come_within_a_week_is_none() {
        for address in [
            "/live.m3u8",
            "/live.m3u8?expires=",
            "/live.m3u8?expires=never",
            "/live.m3u8?expires=3600",
            "/live.m3u8?expires=1600000000",
            "/live.m3u8?expires=1800000000",
            "/live.m3u8?expires=9999999999",
            "/live.m3u8?expires=99999999999999999999",
            "/live.m3u8?session=1700003600",
            "/live.m3u8?X-Amz-Date=20231114T221320Z",
            "/live.m3u8?X-Amz-Date=20231114T221320Z&X-Amz-Expires=-1",
            "/live.m3u8?X-Amz-Date=20231114T221320Z&X-Amz-Expires=99999999999999999999",
            "/1700003600/expire",
        ] {
            assert_eq!(expires_in(address), None, "{address}");
        }
    }
}
