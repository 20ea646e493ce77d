//! `sipwarden demo`, as a script would run it: in a pipe, for a while, with a verdict.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::product;
use std::time::Duration;

#[test]
fn the_demo_plays_its_whole_story_in_a_pipe() {
    let ended = product::run_within(&["demo", "--for", "20s", "--rate", "20"], Duration::from_secs(40));
    let told = format!("{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(0), "{told}");
    let steps = [
        "calls flow to three destinations",
        "pbx-2 is killed",
        "calls failed over",
        "pbx-2 is started again",
        "all three are killed",
        "calls got 503",
        "sipwarden_set_all_down{set=\"pbx\"} 1",
        "all three are started again",
        "every step was observed",
    ];
    let mut rest = ended.stdout.as_str();
    for step in steps {
        let at = rest.find(step).unwrap_or_else(|| panic!("no {step:?}, or out of order:\n{told}"));
        rest = rest.split_at(at + step.len()).1;
    }
    assert!(ended.stdout.contains("http://127.0.0.1:"), "the URLs to open are named:\n{told}");
    assert!(!ended.stdout.contains('\u{1b}'), "no colour and no cursor movement in a pipe:\n{told}");
}

#[test]
fn too_short_a_time_for_the_story_is_a_usage_error() {
    let ended = product::run(&["demo", "--for", "5s"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("15"), "{ended:?}");
}
