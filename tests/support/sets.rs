//! Sets of destinations and who of them is usable, for tests and benches of selection: states are
//! what probes make them, nothing is set by hand.

#![allow(dead_code, reason = "each user needs its own part")]

use sipwarden::dispatch::{
    Ask, Basis, DestinationSettings, Endpoint, FailoverSettings, HashCompat, HashPart, Health, Host, Loads,
    PassiveSettings, RetryAfterSettings, Selection, Selector, SetSettings, Table, Thresholds, Verdicts,
};
use sipwarden::facts::event::ProbeOutcome;
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::{Nonces, Secret};
use sipwarden::facts::{Admin, Algorithm, SetId, Target, Transport, WhenAllDown};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One way to choose: what `algorithm` and `hash.compat` say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub algorithm: Algorithm,
    pub compat: Option<HashCompat>,
}

/// Every way to choose.
pub fn rows() -> Vec<Row> {
    let plain = Algorithm::ALL.iter().map(|algorithm| Row { algorithm: *algorithm, compat: None });
    let alike = HashCompat::ALL.iter().map(|compat| Row::like(*compat));
    plain.chain(alike).collect()
}

impl Row {
    /// An algorithm as it is.
    pub const fn of(algorithm: Algorithm) -> Self {
        Self { algorithm, compat: None }
    }

    /// The hash of another product.
    pub const fn like(compat: HashCompat) -> Self {
        Self { algorithm: Algorithm::Hash, compat: Some(compat) }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.algorithm, self.compat.map_or(String::new(), |compat| format!("-{compat}")))
    }
}

/// A destination as far as selection cares.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub weight: u32,
    pub priority: u32,
    pub is_up: bool,
}

/// Members of one tier with these weights, all up.
pub fn flat(weights: &[u32]) -> Vec<Member> {
    weights.iter().map(|weight| Member { weight: *weight, priority: 0, is_up: true }).collect()
}

/// A set of destinations that one probe makes up or down.
pub fn set(name: &str, row: Row, members: &[Member]) -> SetSettings {
    let destinations = (1_u32..).zip(members).map(|(index, member)| DestinationSettings {
        id: format!("d{index}").into(),
        owner: format!("d{index}").into(),
        uri: format!("sip:d{index}.{name}.example.com").into(),
        endpoint: Endpoint {
            host: Host::Address(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + index))),
            port: 5060,
        },
        lookup: None,
        transport: Transport::Udp,
        weight: member.weight,
        priority: member.priority,
        rank: 0,
        admin: Admin::Enabled,
        listener: None,
        mtu: None,
        thresholds: Some(Thresholds { down_after: 1, up_after: 1 }),
        max_calls: None,
        max_cps: None,
    });
    SetSettings {
        name: name.into(),
        algorithm: row.algorithm,
        hash_key: vec![HashPart::CallId],
        hash_compat: row.compat,
        register_key: HashPart::To,
        objective: 0.999,
        reject_retry_after: Duration::from_secs(5),
        sources: vec![],
        destinations: destinations.collect(),
        failover: FailoverSettings::default(),
        passive: PassiveSettings::default(),
        retry_after: RetryAfterSettings::default(),
        fallback: None,
        when_all_down: WhenAllDown::Reject,
        slow_start: Duration::ZERO,
    }
}

/// What a request that is no call brings: no counts, no limits.
fn ask(key_for: &dyn Fn(SetId) -> Option<u64>, nonce: u64) -> Ask<'_> {
    Ask { basis: Basis::Algorithm, key_for, nonce, now: Instant::now(), is_call: false }
}

/// Sets, who of them is usable, and what chooses among those.
pub struct Bench {
    pub table: Arc<Table>,
    pub sets: Vec<SetId>,
    pub selector: Selector,
    pub health: Health,
    pub verdicts: Arc<Verdicts>,
    nonces: Nonces,
}

impl Bench {
    /// One set.
    pub fn new(row: Row, members: &[Member]) -> Self {
        Self::of(row, &[members])
    }

    /// Several sets, each with its members; of each member the first probe has come back.
    pub fn of(row: Row, sets: &[&[Member]]) -> Self {
        let settings = (1..).zip(sets).map(|(index, members)| set(&format!("set{index}"), row, members));
        let table = Arc::new(Table::new(settings.collect(), &mut Names::default()));
        let mut health = Health::new(Arc::clone(&table), Instant::now());
        let verdicts = health.take_verdicts().expect("the first call gives verdicts");
        let selector = Selector::new(Arc::clone(&table), Loads::new(Instant::now()), 0);
        let ids = table.sets().map(|set| set.id()).collect();
        let nonces = Nonces::new(Secret::new([5; 16]));
        let mut bench = Self { table, sets: ids, selector, health, verdicts, nonces };
        for (set, members) in bench.sets.clone().into_iter().zip(sets) {
            for (position, member) in members.iter().enumerate() {
                let target = *bench.members_of(set).get(position).expect("each member has its target");
                bench.tell(target, member.is_up);
            }
        }
        bench.catch_up();
        bench
    }

    /// The members of the first set.
    pub fn members(&self) -> &[Target] {
        self.members_of(self.first_set())
    }

    /// A member of the first set has been probed.
    pub fn probe(&mut self, position: usize, is_up: bool) {
        let target = *self.members().get(position).expect("the test names a member");
        self.tell(target, is_up);
        self.catch_up();
    }

    /// Where a destination stands in its file.
    pub fn position(&self, target: Target) -> usize {
        self.table.destination(target).expect("the target is configured").position as usize
    }

    /// Chooses in the first set for a request with this key.
    pub fn select(&mut self, key: u64) -> Option<(Selection, usize)> {
        let (selection, target) = self.select_in(self.first_set(), Some(key))?;
        Some((selection, self.position(target)))
    }

    /// Chooses in a set.
    pub fn select_in(&mut self, set: SetId, key: Option<u64>) -> Option<(Selection, Target)> {
        let nonce = self.nonces.next_u64();
        let key_for = |_| key;
        self.selector.select(set, ask(&key_for, nonce), &self.verdicts).ok()
    }

    /// The next of a selection.
    pub fn next(&mut self, selection: &mut Selection) -> Option<usize> {
        let target = self.selector.next(selection, ask(&|_| None, 0), &self.verdicts)?;
        Some(self.position(target))
    }

    /// Everything a request could be tried at, in order.
    pub fn ranking(&mut self, key: u64) -> Vec<usize> {
        let Some((mut selection, first)) = self.select(key) else { return vec![] };
        let mut ranking = vec![first];
        ranking.extend(std::iter::from_fn(|| self.next(&mut selection)));
        ranking
    }

    fn first_set(&self) -> SetId {
        *self.sets.first().expect("there is a set")
    }

    fn members_of(&self, set: SetId) -> &[Target] {
        self.table.set(set).expect("the set is configured").members()
    }

    fn tell(&mut self, target: Target, is_up: bool) {
        let outcome = if is_up { ProbeOutcome::Accepted(200) } else { ProbeOutcome::Timeout };
        self.health.on_probe(target, outcome.into(), None, Instant::now());
    }

    fn catch_up(&mut self) {
        if let Some(verdicts) = self.health.take_verdicts() {
            self.verdicts = verdicts;
        }
    }
}
