//! What is compared: how each proxy is configured and started.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::loads::{Algorithm, Load};
use super::place::Place;
use crate::forward::How;
use crate::generate::{Mode, callees};

/// Spans of sipwarden.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tracing {
    /// None at all
    Off,
    /// To the sink, with this ratio of unremarkable calls
    Ratio(f64),
}

/// A kind of proxy, with what makes it differ from its like.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Kamailio with dispatcher
    Kamailio {
        /// `-x` and `-X`; Debian's default otherwise
        tlsf: bool,
        /// Third argument of `ds_select_dst`
        limit: Option<u32>,
        /// Processes that receive
        workers: u32,
    },
    /// sipwarden, from this file or as built here
    Sipwarden {
        /// The program
        binary: Option<PathBuf>,
        /// Its spans
        tracing: Tracing,
        /// Its data-plane threads
        workers: u32,
    },
    /// A forwarder that reads no byte
    Forward(How),
    /// No proxy: the generator talks to itself
    Direct,
}

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// As in the table.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// All that are known by name.
pub fn known() -> Vec<Contestant> {
    let kamailio = |tlsf, limit, workers| Kind::Kamailio { tlsf, limit, workers };
    let sipwarden = |tracing, workers| Kind::Sipwarden { binary: None, tracing, workers };
    let known = [
        ("kamailio-1w-tlsf", kamailio(true, None, 1)),
        ("kamailio-1w-tlsf-limit4", kamailio(true, Some(4), 1)),
        ("kamailio-1w-default", kamailio(false, None, 1)),
        ("kamailio-2w-tlsf", kamailio(true, None, 2)),
        ("sipwarden", sipwarden(Tracing::Ratio(0.01), 1)),
        ("sipwarden-untraced", sipwarden(Tracing::Off, 1)),
        ("sipwarden-traced", sipwarden(Tracing::Ratio(1.0), 1)),
        ("sipwarden-2w", sipwarden(Tracing::Ratio(0.01), 2)),
        ("fwd", Kind::Forward(How::Plain)),
        ("fwd-tokio", Kind::Forward(How::Tokio)),
        ("fwd-tokio-drain", Kind::Forward(How::TokioDrain)),
        ("direct", Kind::Direct),
    ];
    known.map(|(name, kind)| Contestant { name: name.to_owned(), kind }).to_vec()
}

impl Contestant {
    /// Whether the load makes sense for it.
    pub fn can(&self, load: &Load) -> bool {
        match self.kind {
            Kind::Sipwarden { .. } => true,
            Kind::Kamailio { .. } => load.scrape_s.is_none(),
            Kind::Forward(_) => load.behave.is_empty() && load.memory.is_none() && load.destinations <= 10,
            Kind::Direct => {
                load.behave.is_empty()
                    && load.memory.is_none()
                    && load.destinations <= 10
                    && load.mode != Mode::None
            }
        }
    }

    /// Whether it answers OPTIONS to itself and probes its destinations.
    pub fn is_proxy(&self) -> bool {
        matches!(self.kind, Kind::Kamailio { .. } | Kind::Sipwarden { .. })
    }

    /// Whether it probes at once, so that the first calls depend on the outcome.
    pub fn probes_at_start(&self) -> bool {
        matches!(self.kind, Kind::Sipwarden { .. })
    }

    /// Whether it exports spans.
    pub fn exports(&self) -> bool {
        matches!(self.kind, Kind::Sipwarden { tracing: Tracing::Ratio(_), .. })
    }

    /// Writes the configuration into `work`; gives the command line, or none if nothing is to be started.
    pub fn prepare(&self, load: &Load, place: &Place, work: &Path) -> Result<Option<Vec<String>>> {
        let words = match &self.kind {
            Kind::Kamailio { tlsf, limit, workers } => {
                self.kamailio(load, place, work, (*tlsf, *limit, *workers))?
            }
            Kind::Sipwarden { binary, tracing, workers } => {
                let config = work.join(format!("{}.yaml", self.name));
                fs::write(&config, sipwarden_yaml(load, place, *tracing, *workers))?;
                let binary = binary.clone().unwrap_or_else(default_binary);
                vec![path(&binary)?, "run".into(), "-c".into(), path(&config)?]
            }
            Kind::Forward(how) => {
                let destination = format!("{}:{}", callees::address(0), place.callees);
                let own = path(&std::env::current_exe()?)?;
                let options = [
                    ("--listen", place.proxy.to_string()),
                    ("--destination", destination),
                    ("--caller", place.caller.to_string()),
                    ("--how", how.as_str().into()),
                ];
                let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
                [own, "forward".into()].into_iter().chain(options).collect()
            }
            Kind::Direct => return Ok(None),
        };
        Ok(Some(words))
    }

    fn kamailio(
        &self,
        load: &Load,
        place: &Place,
        work: &Path,
        variant: (bool, Option<u32>, u32),
    ) -> Result<Vec<String>> {
        let (tlsf, limit, workers) = variant;
        let (list, config) = (work.join(format!("{}.list", self.name)), work.join("kamailio.cfg"));
        let lines = (0..load.destinations)
            .map(|n| format!("1 sip:{}:{} 0 0 weight=10\n", callees::address(n), place.callees));
        fs::write(&list, lines.collect::<String>())?;
        fs::write(&config, include_str!("../../config/kamailio.cfg"))?;
        let mut words: Vec<String> =
            ["kamailio", "-DD", "-E", "-m", "4096", "-M", "16", "-f"].map(str::to_owned).to_vec();
        words.push(path(&config)?);
        if tlsf {
            words.extend(["-x", "tlsf", "-X", "tlsf"].map(str::to_owned));
        }
        words.extend(["-l".to_owned(), format!("udp:{}", place.proxy)]);
        let algorithm = match load.algorithm {
            Algorithm::RoundRobin => 4,
            Algorithm::Hash => 0,
        };
        let mut defines = vec![
            format!("LIST=\"{}\"", path(&list)?),
            format!("ALGORITHM={algorithm}"),
            format!("WORKERS={workers}"),
            format!("SILENCE_MS={}", load.silence_ms),
            format!("PROBE_S={}", load.probe_s),
        ];
        defines.extend(limit.map(|limit| format!("LIMIT={limit}")));
        words.extend(defines.into_iter().flat_map(|define| ["-A".to_owned(), define]));
        Ok(words)
    }
}

fn sipwarden_yaml(load: &Load, place: &Place, tracing: Tracing, workers: u32) -> String {
    let tracing = match tracing {
        Tracing::Off => "{otlp: null}".to_owned(),
        Tracing::Ratio(ratio) => {
            format!("{{otlp: \"http://{}\", protocol: http, ratio: {ratio:?}}}", place.sink)
        }
    };
    let algorithm = match load.algorithm {
        Algorithm::RoundRobin => "round_robin",
        Algorithm::Hash => "hash",
    };
    let mut text = include_str!("../../config/sipwarden.yaml").to_owned();
    for (name, value) in [
        ("@PROXY@", place.proxy.to_string()),
        ("@HTTP@", place.http.to_string()),
        ("@WORKERS@", workers.to_string()),
        ("@TRACING@", tracing),
        ("@ALGORITHM@", algorithm.to_owned()),
        ("@PROBE_S@", load.probe_s.to_string()),
        ("@SILENCE_MS@", load.silence_ms.to_string()),
    ] {
        text = text.replace(name, &value);
    }
    for number in 0..load.destinations {
        text.push_str(&format!("      - \"sip:{}:{}\"\n", callees::address(number), place.callees));
    }
    text
}

/// The release build of the repository that this was built in.
pub fn default_binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    target.join("release/sipwarden")
}

fn path(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::loads;

    #[test]
    fn the_configuration_of_sipwarden_has_nothing_left_to_replace() {
        let load = &loads::find("fo503_sat64").unwrap()[0];
        let text = sipwarden_yaml(load, &Place::in_namespace(), Tracing::Ratio(1.0), 2);
        assert!(text.contains("\"sip:127.0.1.2:7000\"") && text.contains("ratio: 1.0"), "{text}");
        let body = text.split_once('\n').unwrap().1;
        assert!(!body.contains('@'), "{text}");
    }
}
