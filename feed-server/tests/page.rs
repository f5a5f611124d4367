//! The page at `/` in a real browser: the list appears, scrolls on without repeats, a click posts an event and the new
//! list comes, and "why" says why. `FRESHET_SCREENSHOTS=DIR` keeps pictures.

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use browser::Browser;
use serde_json::json;
use support::{Server, fake_pipeline, world};

const CARDS: &str = "[...document.querySelectorAll('#list .card')].map(c => c.dataset.video)";

#[test]
fn the_page_scrolls_posts_and_explains() {
    let Some(program) = browser::program() else {
        eprintln!(
            "SKIPPED: the page was not tested, because no Chromium is installed (apt install chromium)"
        );
        return;
    };
    let server = Server::start(world(), |_| {});
    let stop = Arc::new(AtomicBool::new(false));
    let pipeline = fake_pipeline(server.folder.path().to_owned(), server.store.clone(), stop.clone());
    let mut browser = Browser::start(&program);
    browser.look(1200, 860, "light");
    browser.open(&format!("http://{}/", server.address));

    // The list, trending and the infinite scroll.
    browser.until("document.querySelectorAll('#list .card').length >= 10");
    browser.until("document.querySelectorAll('#trending li').length === 10");
    assert_eq!(
        browser.value("document.querySelector('#list .card .caption').textContent"),
        support::video(1).caption
    );
    assert_eq!(
        browser.value("document.querySelector('#list .meta').textContent.includes('9000000000000000001')"),
        true
    );
    browser.picture("list-light");
    browser.until("(scrollTo(0, document.body.scrollHeight), document.getElementById('more').textContent.startsWith('That is all'))");
    let all = browser.value(CARDS);
    let mut expected: Vec<u64> = (1..=40).chain((60..=120).rev()).collect();
    expected.retain(|id| !id.is_multiple_of(17));
    assert_eq!(all, json!(expected.iter().map(u64::to_string).collect::<Vec<_>>()), "each once, list first");

    // Why.
    browser.value("scrollTo(0, 0)");
    browser.click("#list .card:nth-child(2) [data-act=why]");
    browser.until(
        "document.querySelector('#list .card:nth-child(2) .why').innerText.includes('Number 2 of 40')",
    );
    assert_eq!(
        browser.value(
            "document.querySelector('#list .card:nth-child(2) [data-act=why]').getAttribute('aria-expanded')"
        ),
        "true"
    );
    browser.picture("why");

    // Each button posts what it says; the new list comes, and its time is shown.
    for (act, check) in [
        ("like", r#"e.like === true && e.watch_ms === e.duration_ms"#),
        ("skip", r#"e.like === undefined && e.watch_ms * 10 < e.duration_ms"#),
        ("dislike", r#"e.dislike === true"#),
        ("watch", r#"e.dislike === undefined && e.watch_ms === e.duration_ms"#),
    ] {
        let before = server.log("interactions").len();
        let first = browser.value("document.querySelector('#list .card').dataset.video");
        browser.value("document.getElementById('ms').textContent = ''");
        browser.click(&format!("#list .card [data-act={act}]"));
        browser.until("/^[0-9]+ ms$/.test(document.getElementById('ms').textContent)");
        let events = server.log("interactions");
        assert_eq!(events.len(), before + 1, "{act}");
        let event = &events[before];
        assert_eq!(
            (&event["user_id"], &event["video_id"].to_string()),
            (&json!(1), &first.as_str().unwrap().to_owned())
        );
        assert!(event["request_id"].is_u64() && event["feed_position"] == 0, "{event}");
        assert_eq!(browser.value(&format!("(e => {check})({event})")), true, "{act}: {event}");
        // The stand-in moves the watched video's category out of the list.
        let category = first.as_str().unwrap().parse::<u64>().unwrap() % 6;
        browser.until(&format!("document.querySelectorAll('#list .card').length >= 10 && !{CARDS}.slice(0, 10).some(id => id % 6 === {category})"));
    }
    browser.picture("after-click");

    // Another user by keyboard: a new one, whose first click makes an own list.
    browser.value("(() => { const u = document.getElementById('user'); u.focus(); u.select(); })()");
    browser.write("424242");
    browser.enter();
    browser.until("document.getElementById('about').innerText.startsWith('New-user list for 424242')");
    browser.click("#list .card [data-act=like]");
    browser.until("document.getElementById('about').innerText.startsWith('List of user 424242')");

    // Phone width and dark: nothing sticks out to the side, every control has a name.
    browser.look(390, 844, "dark");
    browser.value("scrollTo(0, 0)");
    browser.until("document.documentElement.scrollWidth <= 390");
    let nameless = "[...document.querySelectorAll('button, input, a')].filter(e => !(e.textContent.trim() || e.labels?.length)).length";
    assert_eq!(browser.value(nameless), 0);
    browser.picture("phone-dark");
    browser.look(1200, 860, "dark");
    browser.picture("list-dark");

    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
    stop.store(true, Ordering::Relaxed);
    pipeline.join().unwrap();
}

#[test]
fn the_page_on_an_empty_store_says_what_will_come() {
    let Some(program) = browser::program() else {
        eprintln!(
            "SKIPPED: the page was not tested, because no Chromium is installed (apt install chromium)"
        );
        return;
    };
    let server = Server::start(freshet_sinks::Memory::new(), |_| {});
    let mut browser = Browser::start(&program);
    browser.look(1200, 500, "light");
    browser.open(&format!("http://{}/", server.address));
    browser.until("document.getElementById('about').innerText.includes('No list is stored yet')");
    browser.until("document.getElementById('trending').innerText.includes('Nothing yet')");
    browser.picture("empty");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
