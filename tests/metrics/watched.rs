//! A world whose events are recorded, and which can be scraped.

use crate::sim::{World, plan, settings};
use sipwarden::config;
use sipwarden::facts::ListenerId;
use sipwarden::facts::names::Names;
use sipwarden::facts::snapshot::{Detail, ReceiveBuffer, Surroundings};
use sipwarden::telemetry::{Format, Recorder, Settings, Telemetry};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A core, the parties around it, and the telemetry of its events.
pub struct Watched {
    pub world: World,
    pub telemetry: Telemetry,
    recorder: Recorder,
    _runtime: Runtime,
}

/// What a configuration says of telemetry.
pub fn telemetry_settings(yaml: &str) -> Settings {
    config::from_str(yaml, "test.yaml", &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}")).telemetry
}

/// What is around the core, where it has one listener and three threads.
pub fn surroundings() -> Surroundings {
    let thread = |name: &str| (name.into(), Duration::from_secs(1));
    Surroundings {
        receive: vec![(ListenerId::new(0), ReceiveBuffer::default())],
        threads: ["control-0", "control-1", "worker-0"].map(thread).into(),
        ..Surroundings::default()
    }
}

impl Watched {
    pub fn new(yaml: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut names = Names::default();
        let plan = plan(yaml, &mut names);
        let directory = Arc::clone(plan.directory());
        let telemetry = Telemetry::start(&telemetry_settings(yaml), directory, runtime.handle().clone())
            .expect("telemetry starts");
        let recorder = telemetry.recorder();
        let mut watched =
            Self { world: World::with_plan(plan, names), telemetry, recorder, _runtime: runtime };
        watched.record();
        watched
    }

    /// Records what has happened; how often the state of a destination changed.
    pub fn record(&mut self) -> usize {
        let events = std::mem::take(&mut self.world.events);
        events.iter().for_each(|event| self.recorder.record(event));
        let is_change = |event: &&_| matches!(event, sipwarden::facts::event::Event::DestinationChanged(_));
        events.iter().filter(is_change).count()
    }

    /// Takes up another configuration, as a reload does.
    pub fn reload(&mut self, yaml: &str) {
        self.world.reload_to(settings(yaml));
        drop(self.telemetry.apply(Arc::clone(self.world.expanded.directory())));
        self.record();
    }

    pub fn scrape(&self, format: Format) -> String {
        let snapshot = self.world.core.snapshot(self.world.now, Detail::Metrics);
        self.telemetry.render(vec![snapshot], surroundings(), format).collect()
    }

    /// How many samples a scrape has.
    pub fn series(&self) -> usize {
        self.scrape(Format::Text).lines().filter(|line| !line.starts_with('#')).count()
    }
}

/// Numbers that look like chance and are the same in every run (xorshift64*, Vigna 2016).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below an usize")
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
