//! Configurations that load, and the exact words for those that do not. `BLESS=1` rewrites the
//! `.err` files and the generated manual.

use sipwarden::config::{self, Config};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(directory))
        .expect("the directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A file may say in its first lines which environment it is loaded with: `# env: NAME=value`.
fn environment(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# env: "));
    lines
        .map(|line| {
            line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("NAME=value")
        })
        .collect()
}

fn load_file(path: &Path) -> Result<Config, config::Error> {
    let text = std::fs::read_to_string(path).expect("the file");
    config::load(path, &environment(&text))
}

fn load(text: &str) -> Config {
    config::from_str(text, "test.yaml", &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

#[test]
fn each_valid_file_loads_and_so_does_its_effective_form() {
    for path in files("tests/config/valid") {
        let config = load_file(&path).unwrap_or_else(|error| panic!("{error}"));
        let again = config::from_str(&config.effective, path.to_str().unwrap(), &BTreeMap::new())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(again.effective, config.effective, "{}", path.display());
        assert_eq!(again.proxy.hash, config.proxy.hash);
        assert_eq!(again.proxy.sets, config.proxy.sets);
    }
}

#[test]
fn each_invalid_file_is_refused_in_exactly_these_words() {
    let mut wrong = String::new();
    for path in files("tests/config/invalid") {
        let error = match load_file(&path) {
            Ok(_) => panic!("{} is accepted", path.display()),
            Err(error) => error.to_string(),
        };
        let directory = format!("{}/", path.parent().unwrap().display());
        let text = format!("{}\n", error.replace(&directory, ""));
        let expected = path.with_extension("err");
        if blessing() {
            std::fs::write(&expected, &text).unwrap();
        } else if std::fs::read_to_string(&expected).ok().as_deref() != Some(&*text) {
            let _ = writeln!(wrong, "--- {}\n{text}", path.display());
        }
    }
    assert!(wrong.is_empty(), "differs from the .err file (BLESS=1 rewrites it):\n{wrong}");
}

#[test]
fn every_error_of_a_file_names_line_and_column_and_shows_the_place() {
    for path in files("tests/config/invalid") {
        let error = load_file(&path).unwrap_err().to_string();
        let name = format!("{}:", path.display());
        for block in error.split("\n\n").filter(|block| !block.starts_with("and ")) {
            let named = block.starts_with(&name) || block.starts_with("environment SIPWARDEN_");
            assert!(named && block.contains(" | ") && block.contains('^'), "{block}");
        }
    }
}

#[test]
fn the_shipped_files_load() {
    for path in files("config") {
        load_file(&path).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_configuration_in_the_readme_loads() {
    let page = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<&str> = blocks.filter(|block| block.contains("\nsets:")).collect();
    assert_eq!(whole.len(), 1, "configurations in the README");
    for text in whole {
        load(text);
    }
}

#[test]
fn the_reference_holds_every_key_with_its_default() {
    let path = root().join("config/reference.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let reference = load_file(&path).unwrap();
    let defaults = load("sets: {pbx: {destinations: [{id: asterisk-1, uri: 'sip:10.0.0.1:5060'}]}}");
    let without_routes = |config: &Config| {
        let mut tree: serde_yaml::Value = serde_yaml::from_str(&config.effective).unwrap();
        tree.as_mapping_mut().unwrap().remove("routes");
        let listen = tree.get_mut("listen").unwrap();
        *listen = serde_yaml::Value::Null;
        let destination = tree["sets"]["pbx"]["destinations"][0].as_mapping_mut().unwrap();
        destination.remove("probe");
        tree
    };
    assert_eq!(without_routes(&reference), without_routes(&defaults));
    let written: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let mut missing = vec![];
    for (section, key) in config::keys() {
        let mut at = Some(&written);
        for segment in section.split('.').filter(|segment| !segment.is_empty()) {
            at = match segment {
                "NAME" => at.and_then(|at| at.get("pbx")),
                _ => match segment.strip_suffix("[]") {
                    Some(list) => at.and_then(|at| at.get(list)).and_then(|list| list.get(0)),
                    None => at.and_then(|at| at.get(segment)),
                },
            };
        }
        if at.and_then(|at| at.get(key)).is_none() {
            missing.push(format!("{section} {key}"));
        }
    }
    assert!(missing.is_empty(), "config/reference.yaml lacks {missing:?}");
}

#[test]
fn each_line_of_the_reference_with_a_key_has_a_comment() {
    let text = std::fs::read_to_string(root().join("config/reference.yaml")).unwrap();
    for line in text.lines().filter(|line| line.contains(':') && !line.trim_start().starts_with('#')) {
        let opens_section = line.trim_end().ends_with(':');
        assert!(opens_section || line.contains(" # "), "no comment: {line}");
    }
}

#[test]
fn the_manual_is_printed_from_the_code() {
    let path = root().join("docs/configuration.md");
    let manual = config::manual();
    if blessing() {
        std::fs::write(&path, &manual).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == manual, "docs/configuration.md differs from the code (BLESS=1 rewrites it)");
}

#[test]
fn sets_and_destinations_keep_the_order_of_the_file() {
    let config = load(
        "sets:\n  z: {destinations: [sip:10.0.0.2, sip:10.0.0.1]}\n  a: {destinations: [sip:10.0.0.3]}\n\
         routes: [{set: a}]\n",
    );
    let names: Vec<_> = config.proxy.sets.iter().map(|set| &*set.dispatch.name).collect();
    assert_eq!(names, ["z", "a"]);
    let ids: Vec<_> = config.proxy.sets[0].dispatch.destinations.iter().map(|d| &*d.id).collect();
    assert_eq!(ids, ["10.0.0.2:5060", "10.0.0.1:5060"]);
}

#[test]
fn a_destination_without_id_is_named_by_its_endpoint() {
    let config = load(
        "listen: ['udp://0.0.0.0', 'tcp://0.0.0.0', 'udp://[::]']\nsets: {pbx: {destinations: [\
         'sip:10.0.0.1', 'sip:PBX.example.com:5080;transport=tcp', 'sip:user@[2001:DB8::1]:5070']}}\n",
    );
    let set = &config.proxy.sets[0].dispatch;
    let ids: Vec<_> = set.destinations.iter().map(|d| &*d.id).collect();
    assert_eq!(ids, ["10.0.0.1:5060", "pbx.example.com:5080-tcp", "[2001:db8::1]:5070"]);
    let uris: Vec<_> = set.destinations.iter().map(|d| &*d.uri).collect();
    assert_eq!(uris, ["sip:10.0.0.1", "sip:pbx.example.com:5080;transport=tcp", "sip:[2001:db8::1]:5070"]);
}

#[test]
fn a_destination_overrides_only_what_it_says_of_its_probe() {
    let config = load(
        "sets: {pbx: {probe: {interval: 20s, down_after: 5}, destinations: [sip:10.0.0.1, \
         {uri: sip:10.0.0.2, probe: {down_after: 2}}, {uri: sip:10.0.0.3, probe: {enabled: false}}]}}",
    );
    let set = &config.proxy.sets[0];
    let down_after = |index: usize| set.dispatch.destinations[index].thresholds.map(|t| t.down_after);
    assert_eq!([down_after(0), down_after(1), down_after(2)], [Some(5), Some(2), None]);
    assert_eq!(set.probes[1].interval, Duration::from_secs(20));
}

#[test]
fn a_destination_can_override_every_key_of_its_probe() {
    let whole = "enabled: true, interval: 21s, fast_interval: 2s, timeout: 3s, down_after: 4, up_after: 5, jitter: 6%, \
                 method: INFO, from: \"sip:own@example.com\", max_forwards: 1, user_agent: probe, accept: [200], reject: [486]";
    let config = load(&format!(
        "sets: {{pbx: {{destinations: [sip:10.0.0.1, {{uri: sip:10.0.0.2, probe: {{{whole}}}}}]}}}}"
    ));
    let keys: Vec<&str> = whole.split(", ").filter_map(|pair| Some(pair.split_once(':')?.0)).collect();
    let manual = config::manual();
    let section = manual.split("## `sets.NAME.probe`").nth(1).unwrap().split("\n## ").next().unwrap();
    let known = section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
    assert_eq!(known.collect::<Vec<_>>(), keys, "a key without a test of its override");
    let set = &config.proxy.sets[0];
    let (base, own) = (&set.probes[0], &set.probes[1]);
    let seconds = Duration::from_secs;
    assert_eq!((own.interval, own.fast_interval, own.timeout), (seconds(21), seconds(2), seconds(3)));
    assert_eq!((own.jitter_percent, &*own.method), (6, "INFO"));
    assert_eq!(own.from.as_deref(), Some("sip:own@example.com"));
    assert_eq!((own.max_forwards, own.user_agent.as_deref()), (1, Some("probe")));
    assert!(own.accept.contains(200) && !own.accept.contains(404) && !own.accept.contains(486));
    let thresholds = |index: usize| set.dispatch.destinations[index].thresholds.unwrap();
    assert_eq!((thresholds(1).down_after, thresholds(1).up_after), (4, 5));
    assert_eq!((base, thresholds(0)), (&Default::default(), Default::default()), "the others keep the set's");
}

#[test]
fn thresholds_may_be_called_as_in_kamailio() {
    let config = load(
        "sets: {pbx: {probe: {ds_probing_threshold: 4, ds_inactive_threshold: 2}, destinations: [sip:10.0.0.1, \
         {uri: sip:10.0.0.2, probe: {ds_inactive_threshold: 3}}]}}",
    );
    let thresholds = |index: usize| {
        let thresholds = config.proxy.sets[0].dispatch.destinations[index].thresholds.unwrap();
        (thresholds.down_after, thresholds.up_after)
    };
    assert_eq!((thresholds(0), thresholds(1)), ((4, 2), (4, 3)));
    assert!(config.effective.contains("\"down_after\":4"), "shown under our own names: {}", config.effective);
}

#[test]
fn a_timeout_that_nobody_wrote_follows_a_short_interval() {
    let config = load("sets: {pbx: {probe: {interval: 1s}, destinations: [sip:10.0.0.1]}}");
    assert_eq!(config.proxy.sets[0].probes[0].timeout, Duration::from_millis(500));
    assert_eq!(config.proxy.sets[0].probes[0].fast_interval, Duration::from_secs(1));
}

#[test]
fn names_what_needs_a_restart() {
    let text = "sets: {pbx: {destinations: [sip:10.0.0.1]}}\n";
    let old = load(text);
    assert_eq!(config::restart_keys(&old, &load(text)), Vec::<String>::new());
    let new = load(&format!(
        "{text}listen: ['udp://0.0.0.0:5070']\nhttp: {{listen: '127.0.0.1:1'}}\nlog: {{level: debug}}\n\
         sip: {{max_message: 60000, user_agent: x}}\n"
    ));
    assert_eq!(config::restart_keys(&old, &new), ["listen", "http.listen", "sip.max_message", "log.level"]);
    assert_ne!(old.proxy.hash, new.proxy.hash);
}

#[test]
fn secrets_do_not_show() {
    let config = load(
        "sets: {pbx: {destinations: ['sip:secret@10.0.0.1']}}\ntracing: {otlp: 'http://u:secret@h:4317'}\n",
    );
    assert!(!config.effective.contains("secret@"), "{}", config.effective);
    assert_eq!(config.telemetry.otlp.as_deref(), Some("http://u:secret@h:4317"));
}

#[test]
fn reads_secret_and_token_beside_the_file() {
    let config = load_file(&root().join("tests/config/valid/files.yaml")).unwrap();
    assert!(config.secret.is_some());
    assert_eq!(config.admin.token.as_deref(), Some("let-me-in"));
}

#[test]
fn says_what_to_do_about_a_missing_file() {
    let error = config::load(Path::new("nowhere.yaml"), &BTreeMap::new()).unwrap_err().to_string();
    assert_eq!(
        error,
        "nowhere.yaml: cannot be read: no such file or directory\n  help: name an existing file with -c FILE"
    );
    assert_eq!(config::find(Some(Path::new("x.yaml"))).unwrap(), Path::new("x.yaml"));
}

#[test]
fn refuses_a_file_that_cannot_be_a_configuration() {
    let directory = std::env::temp_dir().join(format!("sipwarden-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let large = directory.join("large.yaml");
    std::fs::File::create(&large).unwrap().set_len(17 << 20).unwrap();
    let binary = directory.join("binary.yaml");
    std::fs::write(&binary, b"sets: {}\n\xff\xfe").unwrap();
    let error = |path: &Path| config::load(path, &BTreeMap::new()).unwrap_err().to_string();
    let (large, binary, folder) = (error(&large), error(&binary), error(&directory));
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(large.ends_with("larger than 16 MiB, so not a configuration"), "{large}");
    assert!(binary.ends_with("binary.yaml:2:1: not UTF-8 text"), "{binary}");
    assert!(folder.contains("cannot be read: is a directory"), "{folder}");
}

#[test]
fn hostile_files_end_quickly() {
    let started = Instant::now();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![before; 9].join(", "));
    }
    let texts = [
        bomb,
        "a: &a [*a]\n".into(),
        "[".repeat(4 << 20),
        "{a: ".repeat(1 << 20),
        "- ".repeat(1 << 18),
        "? ".repeat(1 << 16),
        "a: &x b\n".repeat(1 << 14),
        "sets:\n  s:\n    destinations:\n".to_owned() + &"    - {bogus: 1}\n".repeat(20_000),
    ];
    for text in texts {
        let error = config::from_str(&text, "x.yaml", &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.len() < 20_000, "{} bytes of message", error.len());
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

fn many(destinations: usize) -> String {
    let mut text = String::from("sets:\n  pbx:\n    algorithm: hash\n    destinations:\n");
    for number in 0..destinations {
        let (a, b) = (number / 250, number % 250 + 1);
        let _ =
            writeln!(text, "      - {{id: d{number}, uri: 'sip:10.1.{a}.{b}:5060', weight: 3, priority: 1}}");
    }
    text
}

#[test]
fn loads_ten_thousand_destinations() {
    let small = many(1_000);
    load(&small);
    let started = Instant::now();
    let config = load(&small);
    println!("1,000 destinations: {:?}", started.elapsed());
    assert_eq!(config.proxy.sets[0].dispatch.destinations.len(), 1_000);
    let started = Instant::now();
    let config = load(&many(10_000));
    println!("10,000 destinations: {:?}", started.elapsed());
    assert_eq!(config.proxy.sets[0].dispatch.destinations.len(), 10_000);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let text: String = words.iter().map(|word| WORDS[*word]).collect();
        if let Err(error) = config::from_str(&text, "x.yaml", &BTreeMap::new()) {
            proptest::prop_assert!(error.to_string().starts_with("x.yaml:"));
        }
    }
}

const WORDS: &[&str] = &[
    "sets:",
    "pbx:",
    "destinations:",
    "listen:",
    "probe:",
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    "- ",
    " ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "!t ",
    "|\n",
    ">\n",
    "\"",
    "'",
    "#",
    "---",
    "...",
    "sip:10.0.0.1",
    "weight: ",
    "-1",
    "0x1F",
    "1e400",
    "~",
    "null",
    "true",
    "${A}",
    "${",
    "$${",
    "10s",
    "udp://",
    "\u{feff}",
    "\u{0}",
    "\u{85}",
    "ä",
    "\\",
    "%",
    "@",
    "`",
    "\r",
];
