//! `sipwarden import kamailio`: what it makes of each sample in `tests/import`, and what holds for
//! any input. Files of one stem are imported together; `STEM.yaml` is the configuration that comes
//! out of them and `STEM.err` what is said on standard error. `BLESS=1` rewrites both.

use proptest::prelude::*;
use sipwarden::cli::import::{File, Imported, convert};
use sipwarden::config::{self, Config};
use sipwarden::dispatch::{Ask, Basis, Health, Loads, Selector, Table, kamailio_hash};
use sipwarden::facts::Target;
use sipwarden::facts::event::ProbeOutcome;
use sipwarden::facts::names::Names;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;

const KINDS: [&str; 4] = ["cfg", "csv", "list", "sql"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

fn stems() -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory()).expect("the samples");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let samples = paths.filter(|path| KINDS.iter().any(|kind| path.extension().is_some_and(|e| e == *kind)));
    samples.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

fn files(stem: &str) -> Vec<File> {
    let names = KINDS.iter().map(|kind| format!("{stem}.{kind}"));
    let read = |name: String| {
        let bytes = std::fs::read(directory().join(&name)).ok()?;
        Some(File { name, bytes })
    };
    names.filter_map(read).collect()
}

fn import(stem: &str) -> Imported {
    convert(&files(stem), stem.starts_with("hash_compat")).unwrap_or_else(|error| panic!("{stem}: {error}"))
}

/// The configuration that `check` makes of it.
fn check(yaml: &str) -> Config {
    config::from_str(yaml, "imported.yaml", &BTreeMap::new())
        .unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// Compares with a file, or writes it.
fn compare(wrong: &mut Vec<String>, name: &str, text: &str) {
    let path = directory().join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("written");
    } else if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
        wrong.push(format!("--- {name}\n{text}"));
    }
}

#[test]
fn each_sample_becomes_exactly_this_configuration() {
    let stems = stems();
    assert!(stems.len() >= 10, "{stems:?}");
    let mut wrong = vec![];
    for stem in &stems {
        let imported = import(stem);
        compare(&mut wrong, &format!("{stem}.yaml"), &imported.yaml);
        let warnings: String = imported.warnings.iter().map(|warning| format!("{warning}\n")).collect();
        compare(&mut wrong, &format!("{stem}.err"), &warnings);
    }
    assert!(wrong.is_empty(), "differs (BLESS=1 rewrites it):\n{}", wrong.concat());
}

#[test]
fn check_accepts_what_comes_out_of_each_sample() {
    for stem in stems() {
        let imported = import(&stem);
        let config = check(&imported.yaml);
        assert_eq!(config.proxy.sets.len(), imported.sets, "{stem}");
        let count: usize = config.proxy.sets.iter().map(|set| set.dispatch.destinations.len()).sum();
        assert_eq!(count, imported.destinations, "{stem}");
    }
}

/// Kamailio's order for a hash with `use_default`, from its description: the slots are those of all but
/// the last, a dead one's keys go to its neighbours in turn, and the last comes when nobody else is left.
fn order_of_kamailio(array: &[&str], hash: u32, is_up: impl Fn(&str) -> bool) -> Vec<String> {
    let (default, slots) = array.split_last().expect("a set has members");
    let (before, from) = slots.split_at(hash as usize % slots.len());
    let walk = from.iter().chain(before).chain([default]);
    walk.filter(|uri| is_up(uri)).map(|uri| (*uri).to_owned()).collect()
}

/// The array is Kamailio's: by priority, and of equals the last line first.
#[test]
fn with_use_default_a_hash_has_the_slots_and_the_last_resort_of_kamailio() {
    let array = ["sip:10.0.0.3:5060", "sip:10.0.0.2:5060", "sip:10.0.0.1:5060", "sip:10.0.0.9:5060"];
    let config = check(&import("hash_compat_default").yaml);
    let sets = config.proxy.sets.iter().map(|set| set.dispatch.clone()).collect();
    let table = Arc::new(Table::new(sets, &mut Names::default()));
    let set = table.set_by_name("set-1").expect("the set is imported");
    let uri = |target: Target| table.destination(target).expect("it is configured").settings.uri.to_string();
    for down in 0..1_u32 << array.len() {
        let is_up = |uri: &str| (0..).zip(array).any(|(bit, known)| known == uri && down & (1 << bit) == 0);
        let now = Instant::now();
        let mut health = Health::new(Arc::clone(&table), now);
        for destination in table.destinations() {
            let is_up = is_up(&destination.settings.uri);
            let outcome = if is_up { ProbeOutcome::Accepted(200) } else { ProbeOutcome::Timeout };
            health.on_probe(destination.target, outcome.into(), None, now);
        }
        let verdicts = health.take_verdicts().expect("the first call gives verdicts");
        let mut selector = Selector::new(Arc::clone(&table), Loads::new(now), 0);
        for call in 0..200 {
            let hash = kamailio_hash(format!("call-{call}@example.com").as_bytes(), b"");
            let key_for = |_| Some(u64::from(hash));
            let ask = Ask { basis: Basis::Algorithm, key_for: &key_for, nonce: 0, now, is_call: false };
            let mut found = vec![];
            if let Ok((mut selection, first)) = selector.select(set, ask, &verdicts) {
                found.push(uri(first));
                while let Some(next) = selector.next(&mut selection, ask, &verdicts) {
                    found.push(uri(next));
                }
            }
            assert_eq!(found, order_of_kamailio(&array, hash, is_up), "call {call}, {down:b} are down");
        }
    }
}

/// URI and tier of every destination of the first set, in the order of the file.
fn order(yaml: &str) -> Vec<(String, u32)> {
    let config = check(yaml);
    let destinations = config.proxy.sets.iter().take(1).flat_map(|set| set.dispatch.destinations.clone());
    destinations.map(|destination| (destination.uri.to_string(), destination.priority)).collect()
}

fn list(text: &str) -> File {
    File { name: "dispatcher.list".into(), bytes: text.into() }
}

/// `kamcmd dispatcher.list` of Kamailio 5.6.3 shows 4, 2, 3, 1 for the first four of these lines.
#[test]
fn the_highest_priority_and_of_equals_the_last_line_come_first() {
    let text = "1 sip:10.0.0.1 0 0\n1 sip:10.0.0.2 0 9\n1 sip:10.0.0.3 0 0\n1 sip:10.0.0.4 0 9\n1 sip:10.0.0.5 0 -1\n";
    let found = order(&convert(&[list(text)], false).unwrap().yaml);
    let wanted = [("4", 0), ("2", 0), ("3", 9), ("1", 9), ("5", 10)];
    assert_eq!(found, wanted.map(|(last, tier)| (format!("sip:10.0.0.{last}"), tier)));
}

/// Weights and tiers are of the destinations that are written, not of the lines that are left out.
#[test]
fn a_line_that_is_left_out_counts_neither_as_a_weight_nor_as_a_tier() {
    let zero = "1 sip:10.0.0.1 0 0 weight=0\n1 sip:10.0.0.2 0 -70000 weight=0\n";
    let text = format!("{zero}1 sip:10.0.0.3:99999 0 5 weight=7\n");
    let imported = convert(&[list(&text)], false).unwrap();
    let set = check(&imported.yaml).proxy.sets.remove(0);
    let found: Vec<_> = set.dispatch.destinations.iter().map(|d| (d.weight, d.priority)).collect();
    assert_eq!(found, [(1, 0), (1, 1)], "{}", imported.yaml);
    let alone = convert(&[list("1 sip:10.0.0.1 0 0\n1 sip:10.0.0.3:99999 0 5\n")], false).unwrap();
    assert_eq!(order(&alone.yaml), [("sip:10.0.0.1".to_owned(), 0)]);
    assert!(!alone.yaml.contains("spread over all priorities"), "{}", alone.yaml);
}

#[test]
fn what_it_is_is_told_by_the_content_and_not_by_the_name() {
    let wanted = order(&import("basic").yaml);
    let csv = "setid,destination\n1,sip:10.0.0.11:5060\n1,sip:10.0.0.12:5060\n1,sip:10.0.0.13:5060\n";
    let sql = "INSERT INTO dispatcher (setid, destination) VALUES (1,'sip:10.0.0.11:5060'),\n\
               (1,'sip:10.0.0.12:5060'), (1,'sip:10.0.0.13:5060');\n";
    for text in [csv, sql] {
        let file = File { name: "dispatcher.list".into(), bytes: text.into() };
        assert_eq!(order(&convert(&[file], false).unwrap().yaml), wanted, "{text}");
    }
}

#[test]
fn constants_of_an_included_file_hold_if_it_is_given_too() {
    let file = |name: &str, text: &str| File { name: name.into(), bytes: text.into() };
    let main = file("etc/kamailio.cfg", "include_file \"set.cfg\"\nroute { ds_select_dst(SET, ALG); }\n");
    let included = file("etc/set.cfg", "#!KAMAILIO\n#!define SET 1\n#!define ALG \"8\"\n");
    let rows = list("1 sip:10.0.0.1\n");
    let both = convert(&[main.clone(), rows.clone(), included], false).unwrap();
    assert!(both.warnings.is_empty() && both.yaml.contains("algorithm: priority"), "{both:?}");
    let alone = convert(&[main, rows], false).unwrap();
    assert!(alone.warnings.concat().contains("etc/kamailio.cfg:1: the included file `set.cfg`"), "{alone:?}");
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipwarden"));
    command.args(["import", "kamailio"]).args(arguments).current_dir(directory());
    command.output().expect("it starts")
}

#[test]
fn bad_lines_are_named_on_standard_error_and_the_rest_is_imported() {
    let output = run(&["bad.list"]);
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8(output.stderr).unwrap();
    for line in [2, 3, 4, 5, 6, 7, 8, 9] {
        assert!(errors.contains(&format!("bad.list:{line}: ")), "{errors}");
    }
    let found = order(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(
        found.iter().map(|(uri, _)| uri.as_str()).collect::<Vec<_>>(),
        ["sip:10.0.0.9:5060", "sip:10.0.0.5:5060", "sip:10.0.0.1:5060"]
    );
}

#[test]
fn nothing_usable_is_an_error_and_prints_nothing() {
    let scratch = tempdir();
    let path = |name: &str, text: &str| {
        let path = scratch.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let only_bad = path("only_bad.list", "1 sip:10.0.0.1 high\n");
    let cases: [(&[&str], &str); 6] = [
        (&["no_such.list"], "no_such.list: cannot be read"),
        (&["basic.list", "no_such.list"], "no_such.list: cannot be read"),
        (&["."], ".: cannot be read"),
        (&[&path("prose", "Dear Sir or Madam,\n")], "prose: neither a dispatcher.list"),
        (&[&only_bad], "only_bad.list: neither a dispatcher.list"),
        (&["guide.cfg"], "guide.cfg:10: the list_file /etc/kamailio/guide.list is not among the files given"),
    ];
    for (arguments, wanted) in cases {
        let output = run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
        assert!(errors.contains(wanted), "{arguments:?}: {errors}");
    }
    assert_eq!(run(&[]).status.code(), Some(2));
    std::fs::remove_dir_all(scratch).unwrap();
}

fn tempdir() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("import-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

/// Pieces that the readers look for, so that chance comes near to files.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "1 ",
        "2",
        "sip:10.0.0.1:5060",
        "sip:h",
        "[::1]",
        ";transport=tcp",
        " 0x4 ",
        " 8 ",
        " -5 ",
        "weight=50;",
        "duid=a",
        "socket=udp:10.0.0.9:5060;",
        "maxload=3;",
        "ping_from=sip:a@b;",
        "\n",
        "\n",
        "\r\n",
        "#",
        "#!",
        "#!define A ",
        "#!ifdef A\n",
        "#!else\n",
        "#!endif\n",
        "#!substdef \"!A!1!\"\n",
        "A",
        "modparam(",
        "\"dispatcher\",",
        "\"flags\",",
        "\"ds_ping_interval\",",
        "\"ds_ping_reply_codes\",",
        "\"hash_pvar\",",
        "\"$hdr(X)\"",
        "ds_select_dst(",
        "ds_select_routes(",
        "\"1=4;2=8\"",
        "\"",
        "'",
        "(",
        ")",
        ",",
        ";",
        "listen=",
        "udp:10.0.0.1:5080 ",
        "advertise ",
        "INSERT INTO dispatcher ",
        "CREATE TABLE dispatcher ",
        "VALUES ",
        "(1,1,'sip:a',0,0,'','')",
        "/*",
        "*/",
        "--",
        "`",
        "setid",
        "destination",
        "priority",
        "\t",
        "\\",
        "\u{2028}",
        "\u{feff}",
        "${X}",
        "\u{0}",
    ];
    prop_oneof![
        8 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ]
}

/// One line of a list as a careless hand writes it.
fn line() -> impl Strategy<Value = String> {
    let uri = prop_oneof![
        (0_u8..4, 0_u32..70_000).prop_map(|(last, port)| format!("sip:10.0.0.{last}:{port}")),
        "[a-z.@;=:\\[\\]$\\{\\}\"]{1,12}",
        Just("sip:[2001:db8::1]:5060;transport=tcp".to_owned()),
        Just(format!("sip:{}.example.com", "a".repeat(60))),
    ];
    let attrs = "((duid|weight|rweight|maxload|socket|ping_from|cc|x)=[a-z0-9:@.$\\{\\}\"]{0,8};){0,3}";
    (0_u32..4, uri, 0_u32..70, any::<i32>(), attrs)
        .prop_map(|(set, uri, flags, priority, attrs)| format!("{set} {uri} {flags} {priority} {attrs}\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = convert(&[File { name: "x".into(), bytes }], false);
    }

    #[test]
    fn no_pieces_panic(files in proptest::collection::vec(proptest::collection::vec(piece(), 0..60), 1..3)) {
        let files: Vec<File> =
            files.iter().map(|pieces| File { name: "x".into(), bytes: pieces.concat().into() }).collect();
        let _ = convert(&files, true);
    }

    #[test]
    fn check_accepts_whatever_comes_out_of_any_list(lines in proptest::collection::vec(line(), 1..12)) {
        let script = "modparam(\"dispatcher\", \"use_default\", 1)\nroute { ds_select_routes(\"0=0;1=0;2=4\", \"d\"); }\n";
        let script = File { name: "kamailio.cfg".into(), bytes: script.into() };
        for (files, hash_compat) in [(vec![], false), (vec![script], true)] {
            let files = [files, vec![list(&lines.concat())]].concat();
            if let Ok(imported) = convert(&files, hash_compat) {
                prop_assert_eq!(check(&imported.yaml).proxy.sets.len(), imported.sets);
            }
        }
    }
}
