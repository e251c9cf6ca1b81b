//! Reads query strings: names and values decoded, times and numbers checked, with a sentence about what was expected.

use std::time::{SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;

use super::Problem;
use crate::archive::{Timestamp, time_input};

/// The pairs of a query string, decoded; `+` is a space. Bytes that are not UTF-8 are replaced, and so match nothing.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// The times `start` and `end`, as far as they are given; everything else means nothing here.
pub fn window(query: &str) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let (mut start, mut end) = (None, None);
    for (name, value) in pairs(query) {
        match name.as_str() {
            "start" => start = Some(time("start", &value)?),
            "end" => end = Some(time("end", &value)?),
            _ => {}
        }
    }
    Ok((start, end))
}

/// A time, as people give them.
pub fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    time_input::read_query(value, now).map_err(|_| Problem::bad_parameter(name, value, time_input::EXPECTED))
}

/// A whole number from 1 to `most`.
pub fn count(name: &str, value: &str, most: usize) -> Result<usize, Problem> {
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Problem::bad_parameter(name, value, &format!("a whole number from 1 to {most}")))
}

/// `true` or `false`, in any case.
pub fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::bad_parameter(name, value, "true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plus_of_an_offset_survives_the_query() {
        let (_, value) = pairs("start=2019-11-13T04:30:00+02:30").next().unwrap();
        assert_eq!(time("start", &value).unwrap(), Timestamp::parse("2019-11-13T02:00:00Z").unwrap());
        for query in ["start=2019-11-13T02:00:00Z", "start=2019-11-13+04:30:00+02:30", "start=2019-11-13T03:00:00+01"] {
            let (_, given) = pairs(query).next().unwrap();
            assert_eq!(time("start", &given).unwrap(), Timestamp::parse("2019-11-13T02:00").unwrap(), "{query}");
        }
        assert!(time("start", &pairs("start=1h+ago").next().unwrap().1).unwrap() < time("end", "now").unwrap());
        assert!(time("start", "tomorrow").is_err());
        assert_eq!(count("limit", "10", 10).unwrap(), 10);
        for bad in ["0", "11", "-1", "1e3", "", "99999999999999999999999"] {
            assert!(count("limit", bad, 10).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_a_panic(query in "\\PC{0,60}") {
            for (name, value) in pairs(&query) {
                let _either = (time(&name, &value), count(&name, &value, 5), flag(&name, &value));
            }
        }
    }
}
