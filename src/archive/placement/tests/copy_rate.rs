//! The time that is left is told by how it went in the last ten minutes.

use crate::archive::Span;
use crate::archive::placement::CopyRate;

fn after(seconds: i64) -> Span {
    Span::from_us(seconds * 1_000_000)
}

fn about(one: Option<f64>, other: f64) -> bool {
    one.is_some_and(|one| (one - other).abs() < 0.001)
}

#[test]
fn the_rate_is_that_of_the_last_ten_minutes() {
    let mut rate = CopyRate::default();
    assert_eq!((rate.bytes_per_second(), rate.seconds_left()), (None, None));
    rate.note(after(0), 1_000_000);
    rate.note(after(1), 999_000);
    assert_eq!(rate.bytes_per_second(), None, "too soon");
    rate.note(after(10), 990_000);
    assert!(about(rate.bytes_per_second(), 1_000.0) && about(rate.seconds_left(), 990.0));
    // It goes slower from then on, and after a while that is what counts.
    for minute in 1..=30 {
        rate.note(after(minute * 60), 990_000 - u64::try_from(minute).unwrap() * 600);
    }
    assert!(about(rate.bytes_per_second(), 10.0), "{:?}", rate.bytes_per_second());
    assert!(about(rate.seconds_left(), 97_200.0), "{:?}", rate.seconds_left());
}

#[test]
fn where_more_comes_than_goes_nobody_knows_when_it_ends() {
    let mut rate = CopyRate::default();
    rate.note(after(0), 10);
    rate.note(after(60), 20);
    assert_eq!((rate.bytes_per_second(), rate.seconds_left()), (Some(0.0), None));
    rate.begin_anew();
    rate.note(after(70), 30);
    assert_eq!(rate.bytes_per_second(), None);
    // The first look is older than ten minutes, and nothing came between: the rate is over all of it.
    rate.note(after(1_070), 20);
    assert!(about(rate.bytes_per_second(), 0.01));
    assert!(about(rate.seconds_left(), 2_000.0));
}
