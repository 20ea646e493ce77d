//! What happens in one seed: the configuration, who calls when, what goes wrong.

use crate::caller::{Caller, Intent};
use crate::chance::Chance;
use crate::destination::Mood;
use sipwarden::facts::Admin;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// One configured destination.
#[derive(Debug, Clone)]
pub struct Spec {
    pub id: String,
    pub address: SocketAddr,
    pub is_tcp: bool,
    pub admin: Admin,
    pub weight: u32,
    pub priority: u32,
    /// Whether it is in the set that the other falls back to.
    pub is_backup: bool,
    pub max_calls: Option<u32>,
    max_cps: Option<u32>,
}

/// When requests set a destination aside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passive {
    pub consecutive_failures: u32,
    pub base_ejection: u64,
    pub max_ejection: u64,
    pub max_ejected_percent: u32,
    pub max_pause: u64,
}

/// A configuration.
#[derive(Debug, Clone)]
pub struct Setup {
    pub specs: Vec<Spec>,
    pub down_after: u32,
    pub up_after: u32,
    algorithm: &'static str,
    when_all_down: &'static str,
    slow_start: &'static str,
    failover: String,
    pub passive: Passive,
    interval: u64,
    /// Small enough that calls are too large for UDP, or not.
    mtu: u32,
    created: u8,
}

/// Something that an operator or fate does.
#[derive(Debug, Clone)]
pub enum Act {
    Mood(u64, Mood),
    Admin(u64, Admin),
    Reload,
    /// A response that answers nothing, aimed at a third party.
    Stray,
    Drain,
    Abort,
    /// From here on nothing new goes wrong.
    Calm,
}

impl Setup {
    pub fn new(chance: &mut Chance) -> Self {
        let algorithms = [
            "round_robin",
            "weighted_round_robin",
            "hash",
            "random",
            "two_choices",
            "priority",
            "least_calls",
            "latency",
        ];
        let silence = chance.pick(&["1s", "2s", "2s", "5s"]);
        let silence_other = chance.pick(&["3s", "6s", "10s", "10s"]);
        let (attempts, total) = (chance.pick(&[1, 2, 3, 3, 5]), chance.pick(&["3s", "20s", "60s"]));
        let progress = chance.pick(&["null", "null", "3s"]);
        let after_18x = chance.pick(&[true, true, false]);
        let failover = format!(
            "{{no_response_after: {silence}, no_response_after_non_invite: {silence_other}, max_attempts: {attempts}, \
             total: {total}, no_progress_after: {progress}, after_18x: {after_18x}}}"
        );
        let mut setup = Self {
            specs: Vec::new(),
            down_after: chance.pick(&[1, 2, 3]),
            up_after: chance.pick(&[1, 1, 2]),
            algorithm: chance.pick(&algorithms),
            when_all_down: chance.pick(&["reject", "reject", "reject", "try_anyway"]),
            slow_start: chance.pick(&["0s", "0s", "5s"]),
            failover,
            passive: Passive {
                consecutive_failures: chance.pick(&[1, 1, 2, 2, 5]),
                base_ejection: chance.pick(&[1, 4, 30]),
                max_ejection: chance.pick(&[30, 100]),
                max_ejected_percent: chance.pick(&[50, 50, 67, 100, 0]),
                max_pause: chance.pick(&[2, 10, 60]),
            },
            interval: chance.pick(&[10, 20, 30]),
            mtu: chance.pick(&[1_300, 1_300, 512]),
            created: 0,
        };
        for _ in 0..chance.pick(&[1, 2, 2, 3, 3, 4]) {
            setup.add(chance, false);
        }
        for _ in 0..chance.pick(&[0, 0, 0, 1, 2]) {
            setup.add(chance, true);
        }
        setup
    }

    /// An address that nobody has had before.
    fn fresh_address(&mut self) -> SocketAddr {
        self.created += 1;
        SocketAddr::new(IpAddr::from([10, 0, 1, self.created]), 5060)
    }

    fn add(&mut self, chance: &mut Chance, is_backup: bool) {
        let address = self.fresh_address();
        let spec = Spec {
            id: format!("d{}", self.created),
            address,
            is_tcp: chance.percent(20),
            admin: chance.pick(&[
                Admin::Enabled,
                Admin::Enabled,
                Admin::Enabled,
                Admin::Enabled,
                Admin::Draining,
            ]),
            weight: chance.pick(&[0, 1, 1, 1, 2, 5]),
            priority: chance.pick(&[0, 0, 0, 1]),
            is_backup,
            max_calls: chance.pick(&[None, None, None, None, Some(1), Some(2), Some(4)]),
            max_cps: chance.pick(&[None, None, None, None, None, Some(1), Some(3)]),
        };
        // As the sets are written: those of the first, then those of its fallback.
        let at = self.specs.partition_point(|other| other.is_backup <= is_backup);
        self.specs.insert(at, spec);
        self.give_somebody_weight();
    }

    /// A set in which nobody gets calls is refused.
    fn give_somebody_weight(&mut self) {
        for is_backup in [false, true] {
            let mut specs = self.specs.iter().filter(|spec| spec.is_backup == is_backup);
            if specs.all(|spec| spec.weight == 0)
                && let Some(first) = self.specs.iter_mut().find(|spec| spec.is_backup == is_backup)
            {
                first.weight = 1;
            }
        }
    }

    /// Another configuration: a destination more, one less, one elsewhere, another wish.
    pub fn change(&mut self, chance: &mut Chance) {
        let at = chance.below(self.specs.len() as u64) as usize;
        match chance.below(5) {
            0 => self.add(chance, false),
            1 if self.specs.iter().filter(|other| other.is_backup == self.specs[at].is_backup).count()
                > 1 =>
            {
                self.specs.remove(at);
            }
            2 => self.specs[at].address = self.fresh_address(),
            3 => self.specs[at].weight = chance.pick(&[0, 1, 2]),
            _ => self.specs[at].admin = chance.pick(&[Admin::Enabled, Admin::Enabled, Admin::Disabled]),
        }
        self.give_somebody_weight();
    }

    pub fn yaml(&self) -> String {
        let Self { mtu, when_all_down, .. } = self;
        let has_backup = self.specs.iter().any(|spec| spec.is_backup);
        let (fallback, backup) =
            if has_backup { ("backup", self.set(true)) } else { ("null", String::new()) };
        format!(
            "listen: [\"udp://10.0.0.1:5060\", \"tcp://10.0.0.1:5060\"]\nsip: {{mtu: {mtu}}}\nroutes: [{{set: pbx}}]\n\
             sets:\n  pbx:\n    fallback: {fallback}\n    when_all_down: {when_all_down}\n{}{backup}",
            self.set(false)
        )
    }

    fn set(&self, is_backup: bool) -> String {
        let limit = |limit: Option<u32>| limit.map_or("null".to_owned(), |limit| limit.to_string());
        let destinations = self.specs.iter().filter(|spec| spec.is_backup == is_backup).map(|spec| {
            let Spec { id, address, admin, weight, priority, .. } = spec;
            let (max_calls, max_cps) = (limit(spec.max_calls), limit(spec.max_cps));
            let transport = if spec.is_tcp { ";transport=tcp" } else { "" };
            format!(
                "      - {{id: {id}, uri: \"sip:{address}{transport}\", state: {admin}, weight: {weight}, \
                 priority: {priority}, max_calls: {max_calls}, max_cps: {max_cps}}}\n"
            )
        });
        let Self { algorithm, slow_start, failover, interval, down_after, up_after, .. } = self;
        let Passive { consecutive_failures, base_ejection, max_ejection, max_ejected_percent, max_pause } =
            self.passive;
        let passive = format!(
            "{{consecutive_failures: {consecutive_failures}, base_ejection: {base_ejection}s, max_ejection: {max_ejection}s, \
             max_ejected_percent: {max_ejected_percent}}}"
        );
        let head = if is_backup { "  backup:\n" } else { "" };
        format!(
            "{head}    algorithm: {algorithm}\n    slow_start: {slow_start}\n    failover: {failover}\n    \
             probe: {{interval: {interval}s, down_after: {down_after}, up_after: {up_after}}}\n    \
             passive: {passive}\n    retry_after: {{max: {max_pause}s}}\n    \
             destinations:\n{}",
            destinations.collect::<String>()
        )
    }
}

/// Everybody who calls.
pub fn callers(chance: &mut Chance, start: Instant) -> Vec<Caller> {
    let count = 6 + chance.below(9);
    (0..count).map(|number| caller(number, chance, start)).collect()
}

fn caller(number: u64, chance: &mut Chance, start: Instant) -> Caller {
    let begins = start + chance.ms(0, 30_000);
    let method =
        chance.pick(&["INVITE", "INVITE", "INVITE", "INVITE", "MESSAGE", "REGISTER", "REGISTER", "OPTIONS"]);
    let cancels = method == "INVITE" && chance.percent(35);
    let early = chance.percent(50);
    let cancel = if early { chance.ms(0, 1_000) } else { chance.ms(0, 12_000) };
    let gone = chance.percent(7);
    let intent = Intent {
        method,
        start: begins,
        cancel_after: cancels.then_some(cancel),
        is_hasty: chance.percent(15),
        talk: chance.ms(10, 15_000),
        reinvites: chance.percent(30),
        is_routeless: chance.percent(15),
        hangs_up: chance.percent(75),
        gone_at: gone.then(|| begins + chance.ms(0, 10_000)),
    };
    let is_tcp = chance.percent(20);
    let address = SocketAddr::new(IpAddr::from([192, 0, 2, 10 + number as u8]), 5070);
    let user = chance.pick(&["1000", "2000"]);
    Caller::new(format!("c{number}"), address, is_tcp, user, intent)
}

/// When what is done.
pub fn acts(chance: &mut Chance, start: Instant) -> Vec<(Instant, Act)> {
    let mut acts = Vec::new();
    let mut push = |chance: &mut Chance, act| acts.push((start + chance.ms(0, 40_000), act));
    for _ in 0..chance.below(6) {
        let code = chance.pick(&[486, 500, 503, 503]);
        let moods = [Mood::Well, Mood::Hung, Mood::Sick, Mood::Refusing(code), Mood::Dead, Mood::Unreachable];
        let (whose, mood) = (chance.next(), chance.pick(&moods));
        push(chance, Act::Mood(whose, mood));
    }
    for _ in 0..chance.below(3) {
        let (whose, admin) =
            (chance.next(), chance.pick(&[Admin::Enabled, Admin::Draining, Admin::Disabled]));
        push(chance, Act::Admin(whose, admin));
    }
    for _ in 0..chance.below(4) {
        push(chance, Act::Reload);
    }
    for _ in 0..chance.below(3) {
        push(chance, Act::Stray);
    }
    if chance.percent(6) {
        push(chance, Act::Drain);
        acts.push((start + Duration::from_secs(35), Act::Abort));
    }
    acts.push((start + Duration::from_secs(42), Act::Calm));
    acts
}
