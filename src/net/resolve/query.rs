//! What is asked for one name, and what the answers together stand for (RFC 3263 §4 without NAPTR).
//!
//! Only an answer that is not empty takes the place of an earlier one: what cannot be had is filled
//! in from what was had before. The system's configuration and `/etc/hosts` are honoured.

use super::super::{DnsSettings, Family};
use crate::facts::Transport;
use crate::facts::event::DnsResult;
use crate::facts::lookup::{DEFAULT_PORT, Found, Lookup};
use hickory_resolver::config::{ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Age at which `/etc/resolv.conf` and `/etc/hosts` are read again.
const SYSTEM_AGE: Duration = Duration::from_secs(10);
/// Longest time for one attempt at a query: with it there are several within that of a look-up, whatever
/// `/etc/resolv.conf` says.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time for the query for SRV records, attempts and search domains included. Some servers and
/// firewalls drop it; the rest of a look-up's time is for the addresses of the name itself.
const SRV_TIMEOUT: Duration = Duration::from_secs(4);
/// Time that an entry of the hosts file counts for, which has none of its own.
const HOSTS_TTL: Duration = SYSTEM_AGE;

/// What a name was last found to stand for.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    services: Vec<Service>,
    /// Whether the services are those of SRV records.
    is_srv: bool,
    /// Addresses, by host.
    hosts: BTreeMap<Arc<str>, Vec<IpAddr>>,
}

/// A host that serves a name; without SRV records the name itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Service {
    priority: u16,
    host: Arc<str>,
    port: u16,
    weight: u16,
}

/// What a look-up gave.
#[derive(Debug)]
pub struct Answer {
    /// How it ended: ok only if everything was answered and nothing had to be filled in.
    pub result: DnsResult,
    /// How long it may be kept.
    pub ttl: Duration,
    /// What the name stands for.
    pub memory: Memory,
}

impl Memory {
    /// Its endpoints in an order that does not turn as answers do, `limit` of them at most.
    pub fn found(&self, limit: usize) -> Vec<Found> {
        let mut found: Vec<(u16, SocketAddr, u16)> = Vec::new();
        for service in &self.services {
            let addresses = self.hosts.get(&service.host).map_or(&[][..], Vec::as_slice);
            let address = |ip: &IpAddr| SocketAddr::new(*ip, service.port);
            found.extend(addresses.iter().map(|ip| (service.priority, address(ip), service.weight)));
        }
        found.sort_unstable();
        let mut known: Vec<Found> = Vec::new();
        let (mut rank, mut last) = (0, None);
        for (priority, address, weight) in found {
            if known.len() >= limit || known.iter().any(|known| known.address == address) {
                continue;
            }
            rank += u32::from(last.is_some_and(|last| last != priority));
            last = Some(priority);
            // RFC 2782: one of weight 0 gets little, but something.
            let weight = self.is_srv.then_some(u32::from(weight).max(1));
            known.push(Found { address, rank, weight });
        }
        known
    }
}

/// The resolver of this host, made anew as its configuration may have changed.
#[derive(Debug)]
pub struct System {
    family: Family,
    families: (bool, bool),
    max_endpoints: usize,
    /// Asked in place of the system's servers.
    servers: Option<ResolverConfig>,
    current: Mutex<Option<(Instant, Sources)>>,
}

#[derive(Debug, Clone)]
struct Sources {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
}

/// How one query ended.
enum Queried<T> {
    /// With records, and the time they may be kept.
    Records(Vec<T>, Duration),
    /// There are none.
    Nothing,
    /// It is not known.
    Failed(DnsResult),
}

/// The addresses of one host.
struct Addresses {
    all: Vec<IpAddr>,
    ttl: Duration,
    result: DnsResult,
}

impl System {
    /// That of this host; `families` says whether there is a listener for IPv4 and for IPv6.
    pub fn new(settings: &DnsSettings, families: (bool, bool)) -> Self {
        let DnsSettings { family, max_endpoints, .. } = *settings;
        Self { family, families, max_endpoints, servers: None, current: Mutex::new(None) }
    }

    /// The same with other servers and no hosts file.
    #[cfg(test)]
    pub fn with_servers(self, servers: ResolverConfig) -> Self {
        Self { servers: Some(servers), ..self }
    }

    /// Looks a name up; what cannot be had is filled in from `before`.
    pub async fn look_up(&self, lookup: &Lookup, before: &Memory) -> Answer {
        let Some(sources) = self.sources().await else {
            return kept(before, DnsResult::Error);
        };
        let plain = Service {
            priority: 0,
            host: Arc::clone(&lookup.name),
            port: lookup.port.unwrap_or(DEFAULT_PORT),
            weight: 0,
        };
        if lookup.port.is_some() || sources.is_in_hosts(&lookup.name) {
            return self.serve(&sources, vec![plain], None, before).await;
        }
        match sources.services(lookup).await {
            Queried::Records(mut services, ttl) => {
                services.sort_unstable();
                services.truncate(self.max_endpoints);
                self.serve(&sources, services, Some(ttl), before).await
            }
            // An address of the name itself says nothing of the services: those that there were still count.
            Queried::Failed(result) if before.is_srv => kept(before, result),
            Queried::Nothing if before.is_srv => kept(before, DnsResult::NxDomain),
            Queried::Nothing => self.serve(&sources, vec![plain], None, before).await,
            // Not every server of a private network answers for SRV records; whether there are some is
            // to be found out all the same.
            Queried::Failed(failure) => {
                let answer = self.serve(&sources, vec![plain], None, before).await;
                let result = if answer.result == DnsResult::Ok { failure } else { answer.result };
                Answer { result, ..answer }
            }
        }
    }

    /// Looks up the hosts of services.
    async fn serve(
        &self,
        sources: &Sources,
        services: Vec<Service>,
        srv_ttl: Option<Duration>,
        before: &Memory,
    ) -> Answer {
        let mut memory = Memory { services, is_srv: srv_ttl.is_some(), hosts: BTreeMap::new() };
        let (mut result, mut ttl) = (DnsResult::Ok, srv_ttl.unwrap_or(Duration::MAX));
        for service in &memory.services {
            if memory.hosts.contains_key(&service.host) {
                continue;
            }
            let known = before.hosts.get(&service.host).map_or(&[][..], Vec::as_slice);
            let addresses = self.addresses(sources, &service.host, known).await;
            if addresses.result != DnsResult::Ok {
                result = addresses.result;
            }
            ttl = ttl.min(addresses.ttl);
            memory.hosts.insert(Arc::clone(&service.host), addresses.all);
        }
        if memory.hosts.values().all(Vec::is_empty) {
            return kept(before, result);
        }
        Answer { result, ttl, memory }
    }

    async fn addresses(&self, sources: &Sources, host: &str, known: &[IpAddr]) -> Addresses {
        let kept = |result| Addresses { all: known.to_vec(), ttl: Duration::ZERO, result };
        let of_one = |queried| match queried {
            Queried::Records(all, ttl) => Addresses { all, ttl, result: DnsResult::Ok },
            Queried::Nothing => kept(DnsResult::NxDomain),
            Queried::Failed(result) => kept(result),
        };
        let (v4, v6) = match self.family {
            Family::Ipv4 => (true, false),
            Family::Ipv6 => (false, true),
            Family::Both => {
                let (v4, v6) =
                    tokio::join!(sources.query(host, RecordType::A), sources.query(host, RecordType::AAAA));
                return both(v4, v6, known);
            }
            Family::Auto => (self.families.0 || !self.families.1, self.families.1),
        };
        if !v4 {
            return of_one(sources.query(host, RecordType::AAAA).await);
        }
        match sources.query(host, RecordType::A).await {
            Queried::Nothing if v6 => of_one(sources.query(host, RecordType::AAAA).await),
            answer => of_one(answer),
        }
    }

    async fn sources(&self) -> Option<Sources> {
        let mut current = self.current.lock().await;
        if let Some((made, sources)) = current.as_ref()
            && made.elapsed() < SYSTEM_AGE
        {
            return Some(sources.clone());
        }
        let mut builder = match &self.servers {
            Some(servers) => TokioResolver::builder_with_config(servers.clone(), Default::default()),
            None => TokioResolver::builder_tokio().ok()?,
        };
        let options = builder.options_mut();
        // Each look-up is due because the answer before it has expired.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = options.timeout.min(ATTEMPT_TIMEOUT);
        let hosts = if self.servers.is_some() { Hosts::default() } else { hosts_of_system() };
        let sources = Sources { resolver: builder.build().ok()?, hosts: Arc::new(hosts) };
        *current = Some((Instant::now(), sources.clone()));
        Some(sources)
    }
}

/// What was had before, because nothing else could be had.
fn kept(before: &Memory, result: DnsResult) -> Answer {
    Answer { result, ttl: Duration::ZERO, memory: before.clone() }
}

/// The addresses of both families together; one that cannot be had keeps what it had.
fn both(v4: Queried<IpAddr>, v6: Queried<IpAddr>, known: &[IpAddr]) -> Addresses {
    let mut both = Addresses { all: Vec::new(), ttl: Duration::MAX, result: DnsResult::Ok };
    for (queried, is_v4) in [(v4, true), (v6, false)] {
        match queried {
            Queried::Records(addresses, ttl) => {
                both.all.extend(addresses);
                both.ttl = both.ttl.min(ttl);
            }
            Queried::Nothing => {}
            Queried::Failed(result) => {
                both.all.extend(known.iter().filter(|ip| ip.is_ipv4() == is_v4));
                both.result = result;
            }
        }
    }
    if both.all.is_empty() {
        both.all.extend(known);
        both.result = if both.result == DnsResult::Ok { DnsResult::NxDomain } else { both.result };
    }
    both
}

impl Sources {
    /// Whether the hosts file names a host, which then has no SRV records either.
    fn is_in_hosts(&self, host: &str) -> bool {
        [RecordType::A, RecordType::AAAA].into_iter().any(|of| self.in_hosts(host, of).is_some())
    }

    fn in_hosts(&self, host: &str, of: RecordType) -> Option<Vec<IpAddr>> {
        let query = Query::query(Name::from_str(host).ok()?, of);
        let lookup = self.hosts.lookup_static_host(&query)?;
        let addresses: Vec<_> = lookup.answers().iter().filter_map(|record| ip(&record.data)).collect();
        (!addresses.is_empty()).then_some(addresses)
    }

    async fn query(&self, host: &str, of: RecordType) -> Queried<IpAddr> {
        if let Some(addresses) = self.in_hosts(host, of) {
            return Queried::Records(addresses, HOSTS_TTL);
        }
        self.ask(host, of, ip).await
    }

    async fn services(&self, lookup: &Lookup) -> Queried<Service> {
        let service = match lookup.transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
        };
        let name = format!("{service}.{}", lookup.name);
        let read = |data: &RData| match data {
            // RFC 2782: a target of "." says that there is no such service.
            RData::SRV(srv) if !srv.target.is_root() => Some(Service {
                priority: srv.priority,
                host: srv.target.to_string().to_ascii_lowercase().into(),
                port: srv.port,
                weight: srv.weight,
            }),
            _ => None,
        };
        let asked = timeout(SRV_TIMEOUT, self.ask(&name, RecordType::SRV, read)).await;
        asked.unwrap_or(Queried::Failed(DnsResult::Timeout))
    }

    async fn ask<T>(&self, name: &str, of: RecordType, read: impl Fn(&RData) -> Option<T>) -> Queried<T> {
        match self.resolver.lookup(name, of).await {
            Ok(answer) => {
                let ttls = answer.answers().iter().map(|record| Duration::from_secs(record.ttl.into()));
                let ttl = ttls.min().unwrap_or_default();
                let records: Vec<T> =
                    answer.answers().iter().filter_map(|record| read(&record.data)).collect();
                if records.is_empty() { Queried::Nothing } else { Queried::Records(records, ttl) }
            }
            Err(NetError::Timeout) => Queried::Failed(DnsResult::Timeout),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => Queried::Nothing,
            Err(_) => Queried::Failed(DnsResult::Error),
        }
    }
}

fn ip(data: &RData) -> Option<IpAddr> {
    data.ip_addr()
}

/// An unreadable hosts file names nobody.
fn hosts_of_system() -> Hosts {
    Hosts::from_system().unwrap_or_default()
}
