//! Names into addresses, off the call path: each name is looked up again as its answer expires.
//!
//! Owns when and how often; keeps no answer for anybody, because the last good one is the core's
//! to keep. The system's configuration and `/etc/hosts` are honoured.

use super::{DnsSettings, Family};
use crate::facts::event::DnsResult;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::NetError;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest pause between attempts at a name that fails.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);
/// Age at which `/etc/resolv.conf` and `/etc/hosts` are read again.
const SYSTEM_AGE: Duration = Duration::from_secs(10);
/// Look-ups under way at a time.
const CONCURRENCY: usize = 32;
/// Longest time for one look-up, retransmissions included.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The end of one look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The name.
    pub name: Arc<str>,
    /// How it ended.
    pub result: DnsResult,
    /// The addresses, in the resolver's order; empty unless the result is ok.
    pub addresses: Vec<IpAddr>,
    /// How long it took.
    pub took: Duration,
}

/// Looks up the names of the latest list until its sender is gone, each answer as it expires and
/// each failure with growing pauses. Every look-up is reported; a list that keeps a name reports
/// it again, so that whatever the list is new for hears of it.
pub async fn resolve(
    settings: DnsSettings,
    families: (bool, bool),
    mut names: watch::Receiver<Vec<Arc<str>>>,
    reports: mpsc::Sender<Resolution>,
) {
    let system = Arc::new(System::new(&settings, families));
    let mut tasks = JoinSet::new();
    loop {
        let list = names.borrow_and_update().clone();
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        for name in list.into_iter().collect::<BTreeSet<_>>() {
            let (system, settings, reports) = (Arc::clone(&system), settings.clone(), reports.clone());
            tasks.spawn(async move { keep_resolved(&system, &settings, name, &reports).await });
        }
        if names.changed().await.is_err() {
            return;
        }
    }
}

async fn keep_resolved(
    system: &System,
    settings: &DnsSettings,
    name: Arc<str>,
    reports: &mpsc::Sender<Resolution>,
) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let (result, addresses, ttl) = system.look_up(&name).await;
        failures = if result == DnsResult::Ok { 0 } else { failures + 1 };
        let pause = pause_after(settings, failures, ttl);
        let report = Resolution { name: Arc::clone(&name), result, addresses, took: started.elapsed() };
        if reports.send(report).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The time to the next look-up: the answer's own within the configured bounds, or a pause that
/// doubles with each failure.
fn pause_after(settings: &DnsSettings, failures: u32, ttl: Duration) -> Duration {
    if failures == 0 {
        return ttl.clamp(settings.min_ttl, settings.max_ttl.max(settings.min_ttl));
    }
    let doubled = settings.min_ttl.saturating_mul(1 << (failures - 1).min(10));
    doubled.min(MAX_BACK_OFF).max(settings.min_ttl.min(MAX_BACK_OFF)).max(Duration::from_millis(100))
}

/// The resolver of this host, made anew as its configuration may have changed.
#[derive(Debug)]
struct System {
    strategy: LookupIpStrategy,
    current: Mutex<Option<(Instant, TokioResolver)>>,
    permits: Semaphore,
}

impl System {
    fn new(settings: &DnsSettings, families: (bool, bool)) -> Self {
        Self {
            strategy: strategy(settings.family, families),
            current: Mutex::new(None),
            permits: Semaphore::new(CONCURRENCY),
        }
    }

    async fn look_up(&self, name: &str) -> (DnsResult, Vec<IpAddr>, Duration) {
        let failed = |result| (result, Vec::new(), Duration::ZERO);
        let _permit = self.permits.acquire().await;
        let Some(resolver) = self.resolver().await else { return failed(DnsResult::Error) };
        match tokio::time::timeout(LOOKUP_TIMEOUT, resolver.lookup_ip(name)).await {
            Ok(Ok(answer)) => {
                let ttl = answer.valid_until().saturating_duration_since(std::time::Instant::now());
                let addresses: Vec<IpAddr> = answer.iter().collect();
                if addresses.is_empty() {
                    failed(DnsResult::NxDomain)
                } else {
                    (DnsResult::Ok, addresses, ttl)
                }
            }
            Ok(Err(error)) => failed(result_of(&error)),
            Err(_) => failed(DnsResult::Timeout),
        }
    }

    async fn resolver(&self) -> Option<TokioResolver> {
        let mut current = self.current.lock().await;
        if let Some((made, resolver)) = current.as_ref()
            && made.elapsed() < SYSTEM_AGE
        {
            return Some(resolver.clone());
        }
        let mut builder = TokioResolver::builder_tokio().ok()?;
        let options = builder.options_mut();
        options.ip_strategy = self.strategy;
        options.use_hosts_file = ResolveHosts::Always;
        // Each look-up is due because the answer before it has expired.
        options.cache_size = 0;
        let resolver = builder.build().ok()?;
        *current = Some((Instant::now(), resolver.clone()));
        Some(resolver)
    }
}

fn strategy(family: Family, (v4, v6): (bool, bool)) -> LookupIpStrategy {
    match family {
        Family::Ipv4 => LookupIpStrategy::Ipv4Only,
        Family::Ipv6 => LookupIpStrategy::Ipv6Only,
        Family::Auto => match (v4, v6) {
            (true, true) => LookupIpStrategy::Ipv4thenIpv6,
            (false, true) => LookupIpStrategy::Ipv6Only,
            (true, false) | (false, false) => LookupIpStrategy::Ipv4Only,
        },
    }
}

fn result_of(error: &NetError) -> DnsResult {
    match error {
        NetError::Timeout => DnsResult::Timeout,
        _ if error.is_nx_domain() || error.is_no_records_found() => DnsResult::NxDomain,
        _ => DnsResult::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(family: Family) -> DnsSettings {
        DnsSettings { min_ttl: Duration::from_secs(5), max_ttl: Duration::from_secs(300), family }
    }

    #[test]
    fn an_answer_is_kept_for_its_time_within_the_bounds() {
        let settings = settings(Family::Auto);
        let pause = |seconds| pause_after(&settings, 0, Duration::from_secs(seconds)).as_secs();
        assert_eq!([pause(0), pause(60), pause(86_400)], [5, 60, 300]);
    }

    #[test]
    fn failures_are_retried_with_growing_pauses() {
        let settings = settings(Family::Auto);
        let pauses: Vec<u64> = (1..=5).map(|n| pause_after(&settings, n, Duration::ZERO).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 30, 30]);
        assert_eq!(pause_after(&settings, u32::MAX, Duration::ZERO), MAX_BACK_OFF);
    }

    #[test]
    fn the_family_follows_the_setting_and_then_the_listeners() {
        assert_eq!(strategy(Family::Auto, (true, true)), LookupIpStrategy::Ipv4thenIpv6);
        assert_eq!(strategy(Family::Auto, (false, true)), LookupIpStrategy::Ipv6Only);
        assert_eq!(strategy(Family::Auto, (true, false)), LookupIpStrategy::Ipv4Only);
        assert_eq!(strategy(Family::Ipv6, (true, true)), LookupIpStrategy::Ipv6Only);
    }

    #[tokio::test]
    async fn names_of_the_hosts_file_are_resolved_and_reported_for_each_list() {
        let (list, names) = watch::channel(vec![Arc::<str>::from("localhost")]);
        let (reports, mut reported) = mpsc::channel(8);
        tokio::spawn(resolve(settings(Family::Ipv4), (true, true), names, reports));
        for _ in 0..2 {
            let report =
                tokio::time::timeout(Duration::from_secs(20), reported.recv()).await.unwrap().unwrap();
            assert_eq!((&*report.name, report.result), ("localhost", DnsResult::Ok));
            assert_eq!(report.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
            list.send_modify(|_| {});
        }
    }
}
