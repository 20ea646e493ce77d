//! Any text as a configuration: accepted or refused with words, never a panic; what is accepted
//! prints an effective form that is accepted as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipwarden::config;
use std::collections::BTreeMap;

fuzz_target!(|text: &str| {
    let environment = BTreeMap::new();
    match config::from_str(text, "fuzz.yaml", &environment) {
        Ok(config) => {
            let again = config::from_str(&config.effective, "effective.yaml", &environment);
            let again = again.unwrap_or_else(|error| panic!("the effective form is refused: {error}"));
            assert_eq!(again.proxy.hash, config.proxy.hash);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
