//! `sipwarden import`: another dispatcher's configuration as one of ours, on standard output.
//!
//! Everything that cannot be carried over stands in a comment beside the place where it would be;
//! lines that are wrong are named on standard error, and the rest goes on. Reads only the files it
//! is given, and never follows a script's logic.

mod algorithms;
mod choice;
mod common;
mod csv;
mod destination;
mod functions;
mod list;
mod listeners;
mod parameters;
mod place;
mod row;
mod script;
mod set;
mod sql;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

use super::term;
use common::Common;
use listeners::Listeners;
use place::{Warning, shown};
use row::Row;
use script::{Constants, Script};
use set::{Manner, Set};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use table::TableNames;
use yaml::Page;

/// What to import.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// From where
    #[command(subcommand)]
    pub source: Source,
}

/// What can be imported.
#[derive(Debug, clap::Subcommand)]
pub enum Source {
    /// dispatcher.list, kamailio.cfg, and the table `dispatcher` as CSV or SQL dump
    Kamailio(Kamailio),
}

/// Options of `import kamailio`.
#[derive(Debug, clap::Args)]
pub struct Kamailio {
    /// Files, in any order; what they are is told by their content
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Hash as Kamailio does: the same destination for the same call, a dead one's share to its neighbour
    #[arg(long)]
    pub hash_compat: bool,
}

/// Bytes of a file at most.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A file to be imported: its name, and what is in it.
#[derive(Debug, Clone)]
pub struct File {
    /// As it is to be named in comments and warnings.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What an import comes to.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The configuration.
    pub yaml: String,
    /// What was left out or needs to be looked at, each with file and line.
    pub warnings: Vec<String>,
    /// Sets in the configuration.
    pub sets: usize,
    /// Destinations in the configuration.
    pub destinations: usize,
}

/// Imports, and prints the configuration: exit 0 if there is one, whatever had to be left out; 1 if
/// nothing could be used, or a file could not be read or is none of those known.
pub fn run(args: Args) -> ExitCode {
    let Source::Kamailio(args) = args.source;
    let mut files = vec![];
    for path in &args.paths {
        let name = path.display().to_string();
        let mut bytes = vec![];
        match std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
            Ok(length) if u64::try_from(length).is_ok_and(|length| length > MAX_BYTES) => {
                return term::fail(&format!("{name}: larger than 16 MiB"), None);
            }
            Ok(_) => files.push(File { name, bytes }),
            Err(error) => return term::fail(&format!("{name}: cannot be read: {error}"), None),
        }
    }
    match convert(&files, args.hash_compat) {
        Ok(imported) => {
            for warning in &imported.warnings {
                eprintln!("{}", term::printable(warning));
            }
            let (sets, destinations) = (imported.sets, imported.destinations);
            let remarks = imported.warnings.len();
            eprintln!(
                "imported {destinations} destinations in {sets} sets, with {remarks} warnings; comments say what differs"
            );
            term::print(&imported.yaml)
        }
        Err(error) => term::fail(&error, Some("`sipwarden import kamailio --help` says what can be read")),
    }
}

/// What was read of all files.
#[derive(Debug, Default)]
struct Found {
    script: Script,
    rows: Vec<Row>,
    warnings: Vec<Warning>,
}

/// Imports files; what makes it impossible comes back in words.
pub fn convert(files: &[File], hash_compat: bool) -> Result<Imported, String> {
    let mut found = read(files)?;
    let rows = by_set(std::mem::take(&mut found.rows), &mut found.warnings);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let common = Common::new(&found.script, &names);
    let manner = Manner { common: &common, hash_compat };
    let mut choices = choice::choices(&found.script);
    let mut listeners = Listeners::new(&found.script);
    let mut sets = vec![];
    let mut empty = vec![];
    for (number, rows) in rows {
        let choice = choices.entry(number).or_default();
        let set = Set::new(number, rows, choice, manner, &mut listeners, &mut found.warnings);
        if set.destinations.is_empty() {
            empty.push(format!("set {number} is left out: none of its destinations can be used"));
        } else {
            sets.push(set);
        }
    }
    for number in choices.keys().filter(|number| !sets.iter().any(|set| set.number == **number)) {
        if let Some((_, place)) = choices.get(number).and_then(|choice| choice.algorithm.as_ref()) {
            empty.push(format!("{place}: set {number} has no destination in the files given"));
        }
    }
    empty.extend(common.missing.clone());
    for (transport, is_ipv6) in sets.iter().flat_map(Set::all).filter_map(|known| known.needs) {
        listeners.cover(transport, is_ipv6);
    }
    found.warnings.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    if sets.is_empty() {
        let all: Vec<String> = warnings.into_iter().chain(empty).collect();
        return Err(format!("no destination to import\n{}", all.join("\n")).trim_end().to_owned());
    }
    let mut page = Page::default();
    head(&mut page, &names, hash_compat);
    page.comments(0, &common.comments);
    used(&mut page, &found.script);
    page.comments(0, &empty);
    left_out(&mut page, &found.warnings, &sets);
    page.blank();
    listeners.write(&mut page);
    page.line(0, "sets:");
    for set in &sets {
        let Some(choice) = choices.get(&set.number) else { continue };
        let after = choice.fallback.filter(|after| sets.iter().any(|set| set.number == *after));
        set.write(&mut page, choice, manner, after.map(set::name));
    }
    routes(&mut page, &sets, &found.script);
    let destinations = sets.iter().map(|set| set.all().count()).sum();
    let sets = sets.iter().map(Set::count).sum();
    Ok(Imported { yaml: page.finish(), warnings, sets, destinations })
}

/// Reads the scripts first, because they can rename the table that other files hold.
fn read(files: &[File]) -> Result<Found, String> {
    let mut found = Found::default();
    let mut constants = Constants::default();
    let texts: Vec<(Rc<str>, String)> = files
        .iter()
        .map(|file| {
            let text = String::from_utf8_lossy(&file.bytes).into_owned();
            (file.name.as_str().into(), text.trim_start_matches('\u{feff}').to_owned())
        })
        .collect();
    // A script can contain a query, a dump contains no modules.
    let is_script =
        |text: &str| script::is_script(text) && (!sql::is_sql(text) || text.contains("loadmodule"));
    for (file, text) in included_first(texts.iter().filter(|(_, text)| is_script(text)).collect(), &mut found)
    {
        found.script.read(text, file, &mut constants, &mut found.warnings);
    }
    let names = table_names(&found.script);
    for (file, text) in texts.iter().filter(|(_, text)| !is_script(text)) {
        let rows = if sql::is_sql(text) {
            sql::read(text, file, &names, &mut found.warnings)
        } else if csv::is_csv(text, &names) {
            csv::read(text, file, &names, &mut found.warnings)
        } else {
            let rows = list::read(text, file, &mut found.warnings);
            let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
            if rows.is_empty() && !is_empty {
                return Err(format!(
                    "{file}: neither a dispatcher.list, nor a kamailio.cfg, nor the table dispatcher as CSV or SQL"
                ));
            }
            rows
        };
        found.rows.extend(rows);
    }
    Ok(found)
}

/// The scripts, those that others include first, because they hold the constants. Files that are
/// included but not given become warnings.
fn included_first<'a>(
    scripts: Vec<&'a (Rc<str>, String)>,
    found: &mut Found,
) -> impl Iterator<Item = &'a (Rc<str>, String)> + use<'a> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut included = vec![];
    for (file, text) in &scripts {
        for (line, name) in script::includes(text) {
            included.push(base(name));
            if !scripts.iter().any(|(known, _)| base(known) == base(name)) {
                let place = place::Place { file: Rc::clone(file), line };
                let text = format!(
                    "the included file `{}` is not read; name it on the command line, too",
                    shown(name)
                );
                found.warnings.push(Warning { place, text });
            }
        }
    }
    let (first, then): (Vec<_>, Vec<_>) =
        scripts.into_iter().partition(|(file, _)| included.contains(&base(file)));
    first.into_iter().chain(then)
}

fn table_names(script: &Script) -> TableNames {
    let mut names = TableNames::default();
    let value = |name: &str| script.parameter_named("dispatcher", name).map(|known| known.value.clone());
    if let Some(table) = value("table_name") {
        names.table = table;
    }
    let parameters = ["setid_col", "destination_col", "flags_col", "priority_col", "attrs_col"];
    for (column, parameter) in names.columns.iter_mut().zip(parameters) {
        if let Some(name) = value(parameter) {
            *column = name;
        }
    }
    names
}

/// The rows of each set. What stands in two files stands there once: Kamailio reads only one.
fn by_set(rows: Vec<Row>, warnings: &mut Vec<Warning>) -> BTreeMap<u32, Vec<Row>> {
    let mut sets: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    let mut seen: BTreeMap<(u32, String, String), place::Place> = BTreeMap::new();
    for row in rows {
        let socket = row.attr("socket").unwrap_or_default().to_owned();
        let first =
            seen.entry((row.set, row.uri.to_ascii_lowercase(), socket)).or_insert_with(|| row.place.clone());
        if first.file == row.place.file {
            sets.entry(row.set).or_default().push(row);
        } else {
            let text = format!("left out: {} is in set {} already, by {first}", shown(&row.uri), row.set);
            warnings.push(Warning { place: row.place, text });
        }
    }
    sets
}

fn head(page: &mut Page, names: &[&str], hash_compat: bool) {
    let option = if hash_compat { " --hash-compat" } else { "" };
    let names: Vec<String> = names.iter().map(|name| shown(name)).collect();
    page.comment(0, &format!("Made by `sipwarden import kamailio{option}` from {}.", names.join(", ")));
    page.comment(
        0,
        "Read it through, then: sipwarden check -c FILE. What differs, and why: docs/kamailio.md.",
    );
    page.comment(
        0,
        "Kamailio tries the highest priority first, sipwarden the lowest: priority = highest of the set - Kamailio's. \
         Within a priority Kamailio begins with the last line, so the lines stand in reverse order.",
    );
}

/// What was left out and belongs to no set.
fn left_out(page: &mut Page, warnings: &[Warning], sets: &[Set]) {
    for warning in warnings.iter().filter(|warning| warning.text.contains("left out: ")) {
        let text = warning.to_string();
        if !sets.iter().any(|set| set.says(&text)) {
            page.comment(0, &text);
        }
    }
}

/// The functions that the scripts call, and what there is instead of them.
fn used(page: &mut Page, script: &Script) {
    for function in functions::FUNCTIONS.iter().filter(|function| !function.instead.is_empty()) {
        if let Some((place, count)) = script.used.get(function.name) {
            let times = if *count == 1 { String::new() } else { format!(", {count} times") };
            page.comment(0, &format!("{place}{times}: {}: {}", function.name, function.instead));
        }
    }
}

/// Which request goes where was the script's business.
fn routes(page: &mut Page, sets: &[Set], script: &Script) {
    if sets.iter().map(Set::count).sum::<usize>() < 2 {
        return;
    }
    let has = |number: u32| sets.iter().any(|set| set.number == number);
    let called = script.calls.iter().find_map(|call| call.picks.first()).map(|(set, _)| *set);
    let first = called.filter(|set| has(*set)).or_else(|| sets.first().map(|set| set.number)).unwrap_or(0);
    if sets.len() > 1 {
        page.comment(0, "Which request goes to which set was decided by the script: write it down here. The first match wins.");
    }
    page.line(0, "routes:");
    for set in sets.iter().filter(|set| set.number != first) {
        let calls = script
            .calls
            .iter()
            .filter(|call| call.picks.first().is_some_and(|(known, _)| *known == set.number));
        let places: Vec<String> = calls.take(3).map(|call| format!("  # {}", call.place)).collect();
        let places: String = places.concat().chars().map(place::printable).collect();
        page.line(1, &format!("# - {{ruri_user: \"…\", set: {}}}{places}", set::name(set.number)));
    }
    page.line(1, &format!("- {{set: {}}}", set::name(first)));
}
