//! What alerts, runbooks and dashboards say of the product holds with every configuration, as far as a
//! machine can tell.

use super::rules::{alerts, files, list, read, root, text, yaml};

/// Every text that somebody reads: where it stands, and a paragraph of it.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for alert in alerts() {
        let description = text(&alert.body, &["annotations", "description"]);
        found.push((format!("the description of {}", alert.title()), description.to_owned()));
    }
    for name in files("docs/runbooks", "md") {
        let page = read(&root().join("docs/runbooks").join(&name));
        found.extend(page.split("\n\n").map(|paragraph| (name.clone(), paragraph.to_owned())));
    }
    for name in files("dashboards", "json") {
        let dashboard = yaml(&format!("dashboards/{name}"));
        for panel in list(&dashboard, "panels") {
            let place = format!("{name}: {}", text(panel, &["title"]));
            found.push((place, text(panel, &["description"]).to_owned()));
        }
    }
    assert!(found.len() > 300, "only {} texts were found", found.len());
    found
}

/// The texts that say all of these words, and not the one that belongs to them.
fn lacking(words: &[&str], wanted: &str) -> Vec<String> {
    let is_wrong = |text: &str| words.iter().all(|word| text.contains(word)) && !text.contains(wanted);
    let wrong = texts().into_iter().filter(|(_, text)| is_wrong(text));
    wrong.map(|(place, text)| format!("{place} does not say {wanted}: {text}")).collect()
}

#[test]
fn calls_are_refused_only_where_no_other_set_takes_them() {
    for calls in ["calls", "equests"] {
        assert_eq!(lacking(&[calls, "are refused"], "fallback"), [""; 0]);
    }
    let down = texts().into_iter().filter(|(place, text)| {
        let is_about = ["AllDestinationsDown", "Sets all down"].iter().any(|name| place.contains(name));
        is_about && text.contains("refused with") | text.contains("are refused")
    });
    let down: Vec<_> = down.collect();
    assert!(down.len() >= 2, "{down:?}");
    for (place, text) in down {
        assert!(text.contains("try_anyway"), "{place}: {text}");
    }
}

#[test]
fn traces_of_failures_are_kept_up_to_the_limit_of_the_code() {
    let code = read(&root().join("src/telemetry/spans/decision.rs"));
    let limit = code.split("const PER_SECOND: u32 = ").nth(1).and_then(|rest| rest.split(';').next());
    let limit = format!("{} a second for each worker", limit.expect("the limit is a constant"));
    for words in [["racing", "kept"], ["races", "kept"]] {
        assert_eq!(lacking(&words, &limit), [""; 0]);
    }
}
