//! The driver: loads against contestants in alternation, each run against a fresh process.

mod contestants;
pub mod count;
mod figures;
mod loads;
mod measure;
mod place;
mod process;
mod procfs;
mod ready;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;

use contestants::{Contestant, Kind, Tracing};
use loads::Load;
use measure::{Record, Rig};
use place::Place;

/// Command line of `compare run`.
#[derive(Args, Debug)]
pub struct Options {
    /// Contestants, separated by commas; the first is what the others are set against
    #[arg(long, default_value = "kamailio-1w-tlsf,sipwarden,fwd-tokio")]
    only: String,
    /// Loads or groups of loads, separated by commas, or `all`
    #[arg(long, default_value = "core")]
    loads: String,
    /// Runs of each load against each contestant
    #[arg(long, default_value_t = 3)]
    reps: u32,
    /// Alternate the loads as well: needed when two loads are compared with one another
    #[arg(long)]
    interleave: bool,
    /// How often a disturbed run is tried again
    #[arg(long, default_value_t = 1)]
    retries: u32,
    /// sipwarden itself; by default the release build of this repository
    #[arg(long)]
    sipwarden: Option<PathBuf>,
    /// NAME=PATH: a further contestant, configured like `sipwarden`, to set two builds side by side
    #[arg(long)]
    binary: Vec<String>,
    /// Bytes of an INVITE, 500 to 8192
    #[arg(long, default_value_t = 756)]
    size: usize,
    /// Seconds that do not count, instead of the load's own
    #[arg(long)]
    warm: Option<f64>,
    /// Seconds that count, instead of the load's own
    #[arg(long)]
    count: Option<f64>,
    /// PROXY,GENERATOR: the cores; by default the last and the first that we may use
    #[arg(long, value_parser = cores)]
    cores: Option<(usize, usize)>,
    /// Core of the span sink; by default the generator's
    #[arg(long)]
    sink_core: Option<usize>,
    /// Niceness of proxies and generator, against whatever else runs
    #[arg(long, default_value_t = -10, allow_negative_numbers = true)]
    nice: i32,
    /// Use this machine's loopback interface even as root
    #[arg(long)]
    host: bool,
    /// Exit 1 if a run gave no figures or a call failed
    #[arg(long)]
    strict: bool,
    /// Directory for results.json, table.md, configurations and logs
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/results"))]
    out: PathBuf,
}

fn cores(text: &str) -> Result<(usize, usize), String> {
    let parse = || {
        let (proxy, generator) = text.split_once(',')?;
        Some((proxy.parse().ok()?, generator.parse().ok()?))
    };
    parse().ok_or_else(|| "expected PROXY,GENERATOR, as in 1,0".to_owned())
}

/// Runs, prints the table, and writes it and all records into the directory.
pub fn run(options: &Options) -> Result<()> {
    let contestants = choose(&options.only, &options.binary, options.sipwarden.as_ref())?;
    let mut loads = loads::find(&options.loads).map_err(anyhow::Error::msg)?;
    for load in &mut loads {
        load.warm_s = options.warm.unwrap_or(load.warm_s);
        load.count_s = options.count.unwrap_or(load.count_s);
    }
    check_needs(&contestants, &[])?;
    fs::create_dir_all(&options.out)?;
    let work = options.out.canonicalize()?;
    let place = Place::enter(options.host, options.cores)?;
    let sink_core = options.sink_core.unwrap_or(place.generator_core);
    let rig = Rig { place: &place, work: &work, nice: options.nice, sink_core, size: options.size };
    let machine = place::machine(&place);
    eprintln!("{machine}");

    let mut records = Vec::new();
    for (load, repetition) in order(&loads, options.reps, options.interleave) {
        for contestant in contestants.iter().filter(|contestant| contestant.can(load)) {
            let mut record = measured(&rig, contestant, load, options.retries);
            record.repetition = repetition;
            eprintln!("{}", summary(&record, load));
            records.push(record);
            write(&work, &machine, &records)?;
        }
    }
    ensure!(!records.is_empty(), "none of these contestants can do any of these loads");
    let names: Vec<String> = contestants.into_iter().map(|contestant| contestant.name).collect();
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let table = format!("{machine}\n`compare {command}`\n\n{}", table::render(&records, &loads, &names));
    fs::write(work.join("table.md"), &table)?;
    println!("{table}");
    if options.strict {
        let went_well = |record: &Record| {
            let calls = record
                .generator
                .as_ref()
                .map(|report| (report.counted > 0, report.failed + report.left_open));
            record.error.is_none() && calls == Some((true, 0))
        };
        ensure!(records.iter().all(went_well), "a run gave no figures, or calls failed");
    }
    Ok(())
}

/// Prints what can be chosen.
pub fn list() -> Result<()> {
    println!("loads:");
    for load in loads::LOADS {
        println!("  {:20} {}", load.name, load.about);
    }
    println!("groups:");
    for (name, loads) in loads::GROUPS {
        println!("  {name:20} {}", loads.join(" "));
    }
    println!("contestants:");
    for contestant in contestants::known() {
        println!("  {}", contestant.name);
    }
    Ok(())
}

fn choose(only: &str, more: &[String], sipwarden: Option<&PathBuf>) -> Result<Vec<Contestant>> {
    let mut known = contestants::known();
    for contestant in &mut known {
        if let Kind::Sipwarden { binary, .. } = &mut contestant.kind {
            *binary = sipwarden.cloned();
        }
    }
    let mut names: Vec<&str> = only.split(',').collect();
    for extra in more {
        let Some((name, path)) = extra.split_once('=') else { bail!("--binary {extra}: expected NAME=PATH") };
        let kind = Kind::Sipwarden { binary: Some(path.into()), tracing: Tracing::Ratio(0.01), workers: 1 };
        known.push(Contestant { name: name.to_owned(), kind });
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let find = |name: &str| known.iter().find(|contestant| contestant.name == name).cloned();
    names
        .into_iter()
        .map(|name| find(name).ok_or_else(|| anyhow::anyhow!("no contestant `{name}`; see `compare list`")))
        .collect()
}

/// Says all that is missing at once, and how to get it.
fn check_needs(contestants: &[Contestant], further: &[&str]) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let has = |program: &str| path.split(':').any(|directory| Path::new(directory).join(program).is_file());
    let mut missing = Vec::new();
    let needs_kamailio =
        contestants.iter().any(|contestant| matches!(contestant.kind, Kind::Kamailio { .. }));
    if needs_kamailio && !has("kamailio") {
        missing.push(
            "kamailio: apt-get install --no-install-recommends kamailio (and have /usr/sbin in PATH)"
                .to_owned(),
        );
    }
    for program in ["setpriv", "taskset"].into_iter().filter(|program| !has(program)) {
        missing.push(format!("{program}: apt-get install util-linux"));
    }
    for program in further.iter().filter(|program| !has(program)) {
        missing.push(format!("{program}: apt-get install {program}"));
    }
    for contestant in contestants {
        if let Kind::Sipwarden { binary, .. } = &contestant.kind {
            let binary = binary.clone().unwrap_or_else(contestants::default_binary);
            if !binary.is_file() {
                missing.push(format!(
                    "{}: cargo build --release in the repository, or --sipwarden PATH",
                    binary.display()
                ));
            }
        }
    }
    missing.dedup();
    ensure!(missing.is_empty(), "what is needed and missing:\n  {}", missing.join("\n  "));
    Ok(())
}

fn order(loads: &[Load], reps: u32, interleave: bool) -> Vec<(&Load, u32)> {
    if interleave {
        (1..=reps).flat_map(|repetition| loads.iter().map(move |load| (load, repetition))).collect()
    } else {
        loads.iter().flat_map(|load| (1..=reps).map(move |repetition| (load, repetition))).collect()
    }
}

fn measured(rig: &Rig, contestant: &Contestant, load: &Load, retries: u32) -> Record {
    let mut attempt = 0;
    loop {
        let record = rig.run(contestant, load).unwrap_or_else(|error| Record {
            contestant: contestant.name.clone(),
            load: load.name.to_owned(),
            error: Some(format!("{error:#}")),
            ..Record::default()
        });
        match &record.disturbed {
            Some(why) if attempt < retries => {
                eprintln!("  {} {}: again, for {why}", load.name, contestant.name)
            }
            _ => return record,
        }
        attempt += 1;
    }
}

fn summary(record: &Record, load: &Load) -> String {
    let figures =
        load.figures().iter().filter_map(|name| Some(format!("{name} {:.1}", record.figures.get(name)?)));
    let figures = figures.collect::<Vec<_>>().join(", ");
    let trouble =
        record.error.as_deref().or(record.disturbed.as_deref().map(|_| "DISTURBED")).unwrap_or_default();
    format!("{:18} {:24} #{} {figures} {trouble}", record.load, record.contestant, record.repetition)
}

fn write(work: &Path, machine: &str, records: &[Record]) -> Result<()> {
    let command: Vec<String> = std::env::args().collect();
    let all = serde_json::json!({ "machine": machine, "command": command, "records": records });
    fs::write(work.join("results.json"), serde_json::to_string_pretty(&all)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_alternate_and_with_interleave_loads_do_too() {
        let loads = loads::find("sat64,r1000").unwrap();
        let names = |interleave| -> Vec<(&str, u32)> {
            order(&loads, 2, interleave)
                .into_iter()
                .map(|(load, repetition)| (load.name, repetition))
                .collect()
        };
        assert_eq!(names(false), [("sat64", 1), ("sat64", 2), ("r1000", 1), ("r1000", 2)]);
        assert_eq!(names(true), [("sat64", 1), ("r1000", 1), ("sat64", 2), ("r1000", 2)]);
    }
}
