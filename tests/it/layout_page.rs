//! What the page at `/status` shows of a layout, in a real browser: how far it is while nodes come, and nothing where there is none.

use crate::owned_hours::{hours, trusting, with_one_layout};
use crate::reading::three_at;
use crate::support::browser::Browser;
use crate::support::{Kind, TestArchive, TestNode};

const CARD: &str = "document.getElementById('layout-card')";

fn says(browser: &Browser, words: &str) {
    browser.wait_until(&format!("!{CARD}.hidden && {CARD}.innerText.includes({})", serde_json::json!(words)));
}

#[test]
fn the_page_says_how_many_copies_are_in_place_and_what_is_missing() {
    let archives = with_one_layout("2");
    let begin = three_at(&archives);
    let a = trusting(begin(0)).start();
    let browser = Browser::start(360, 740);
    browser.open(&a, "/status");
    says(&browser, "Nothing known of\nb, c");
    says(&browser, "of copies in place");
    browser.run(&format!("{CARD}.querySelector('summary').click()"));
    says(&browser, "c/source/2020-01-01T00 ");
    says(&browser, " of 2");
    assert_eq!(browser.text("document.documentElement.scrollWidth"), "360");
    let others = [1, 2].map(|at| trusting(begin(at)).start());
    says(&browser, &format!("done: all copies of {} hours are in place", hours().len()));
    says(&browser, "a (this one)");
    says(&browser, "the same");
    assert_eq!(browser.text(&format!("{CARD}.querySelectorAll('details').length")), "0");
    // One that cannot be read is told as such.
    drop(others);
    std::fs::write(archives[0].at(".gapless/layout"), "no layout").unwrap();
    says(&browser, "cannot be read");
}

#[test]
fn without_a_layout_nothing_is_shown_or_asked_of_it() {
    let archive = TestArchive::empty();
    archive.segment("chan/source/2020-01-01T06", "10:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    let browser = Browser::start(1000, 700);
    browser.open(&node, "/status");
    browser.wait_until("document.getElementById('streams').innerText.includes('chan')");
    browser.wait_until("Number(document.documentElement.dataset.drawn) > 0");
    assert_eq!(browser.text(&format!("{CARD}.hidden")), "true");
    let asked = "performance.getEntriesByType('resource').some(({ name }) => name.includes('/api/v1/layout'))";
    assert_eq!(browser.text(asked), "false");
}
