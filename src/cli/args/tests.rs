//! Which places of the archive may be typed.

use super::*;

#[test]
fn targets_have_one_to_three_visible_parts() {
    let parts = |text: &str| text.parse::<ArchiveTarget>().map(|target| target.0);
    assert_eq!(parts("a").unwrap(), ["a"]);
    assert_eq!(parts("a/b/2019-11-13T02/").unwrap(), ["a", "b", "2019-11-13T02"]);
    // As it is printed.
    assert_eq!(parts(r"a\x1b/b\n").unwrap(), ["a\x1b", "b\n"]);
    for wrong in ["", "/", "/a", "a//b", "a/b/c/d", ".gapless", "a/..", "a\0"] {
        assert!(parts(wrong).is_err(), "{wrong:?}");
    }
}
