//! `docs/kamailio.md` holds everything that the tables of this importer name.

use super::algorithms::{ALGORITHMS, key_of_variable};
use super::functions::FUNCTIONS;
use super::parameters::{ATTRIBUTES, PARAMETERS};
use crate::facts::{Algorithm as Word, State};

const PAGE: &str = include_str!("../../../docs/kamailio.md");

/// The rows of the tables under a heading, cut into cells.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = PAGE.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The row of which a cell holds this in backquotes or as it is.
fn row_of<'a>(rows: &'a [Vec<String>], name: &str) -> &'a [String] {
    let quoted = format!("`{name}`");
    let found =
        rows.iter().find(|row| row.first().is_some_and(|cell| cell == name || cell.contains(&quoted)));
    found.unwrap_or_else(|| panic!("docs/kamailio.md does not name {name}"))
}

#[test]
fn the_page_has_each_algorithm_with_its_name_and_what_it_is_here() {
    let rows = rows("Algorithms");
    for algorithm in ALGORITHMS {
        let row = row_of(&rows, &algorithm.number.to_string());
        assert_eq!(row.get(2).map(String::as_str), Some(algorithm.name), "{algorithm:?}");
        let here = row.get(3).expect("a fourth cell");
        let words = [algorithm.word.unwrap_or("not supported"), algorithm.reads.unwrap_or("")];
        assert!(words.iter().all(|word| here.contains(word)), "{algorithm:?}: {here}");
        let is_key_named =
            algorithm.number == 7 || algorithm.key.is_none_or(|key| here.contains(&format!("[{key}]")));
        assert!(is_key_named, "{algorithm:?}: {here}");
    }
}

#[test]
fn the_page_has_each_parameter_with_its_key_and_each_attribute() {
    let rows = rows("Parameters");
    for parameter in PARAMETERS {
        let row = row_of(&rows, parameter.name);
        assert!(row.get(1).is_some_and(|here| here.contains(parameter.key)), "{parameter:?}: {row:?}");
    }
    for (name, key, _) in ATTRIBUTES {
        let row = row_of(&rows, name);
        let key = key.split('.').next().unwrap_or_default();
        assert!(row.get(1).is_some_and(|here| here.contains(key)), "{name}: {row:?}");
    }
}

#[test]
fn the_page_has_each_function_and_each_state() {
    let functions = rows("Functions");
    for function in FUNCTIONS {
        row_of(&functions, function.name);
    }
    let states = rows("States");
    for state in State::ALL {
        let word = format!("`{state}`");
        assert!(states.iter().any(|row| row.last().is_some_and(|cell| cell.contains(&word))), "{state}");
    }
}

#[test]
fn the_numbers_are_those_that_the_configuration_explains() {
    for algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.number <= 8) {
        let text =
            format!("sets: {{pbx: {{destinations: [sip:10.0.0.1], algorithm: {}}}}}", algorithm.number);
        let error = crate::config::from_str(&text, "x.yaml", &Default::default()).unwrap_err().to_string();
        let word = algorithm.word.unwrap_or_default();
        assert!(error.contains(&format!("`{word}`")) || algorithm.number == 5, "{error}");
    }
    let words: Vec<&str> = ALGORITHMS.iter().filter_map(|algorithm| algorithm.word).collect();
    // What Kamailio has no number for.
    let only_here = ["two_choices"];
    for word in Word::ALL.iter().map(|word| word.as_str()).filter(|word| !only_here.contains(word)) {
        assert!(words.contains(&word), "no number of Kamailio's leads to {word}");
    }
}

#[test]
fn variables_of_hash_pvar_have_keys() {
    for (variable, key) in
        [("ci", "call_id"), ("rU", "ruri_user"), ("au", "auth_user"), ("hdr(X-A)", "header:X-A")]
    {
        assert_eq!(key_of_variable(variable).as_deref(), Some(key));
    }
    assert_eq!(key_of_variable("hdr()"), None);
    assert_eq!(key_of_variable("avp(hash)"), None);
}
