//! Compares SIP proxies under load, on one core: `compare run` and `count` are the drivers; `compare generate`,
//! `sink` and `forward` are the processes that it starts, and can be started by hand.

mod burn;
mod driver;
mod forward;
mod generate;
mod sink;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "compare", version, about = "SIP load, and a comparison of proxies under it")]
struct Command {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Runs loads against contestants in alternation, and prints a table
    Run(driver::Options),
    /// Counts instructions per call under valgrind, which other programs do not disturb
    Count(driver::count::Options),
    /// Lists loads, groups of loads, and contestants
    List,
    /// Caller and callees in one busy-polling process; the last line it prints is JSON
    Generate(generate::Options),
    /// The floor: forwards datagrams without reading a byte of them
    Forward(forward::Options),
    /// Computes for each HTTP request, as another program on the proxy's core
    Burn(burn::Options),
    /// Takes spans over OTLP/HTTP and throws them away; counts them when standard input ends
    Sink(sink::Options),
}

fn main() -> ExitCode {
    let done = match Command::parse().part {
        Part::Run(options) => driver::run(&options),
        Part::Count(options) => driver::count::run(&options),
        Part::List => driver::list(),
        Part::Generate(options) => generate::run(&options),
        Part::Forward(options) => forward::run(&options),
        Part::Burn(options) => burn::run(&options),
        Part::Sink(options) => sink::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}
