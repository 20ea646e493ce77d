//! Reload of a file with 10,000 destinations in 100 sets: what the control plane takes to read and
//! compile it, and for how long the workers take no calls meanwhile. Prints figures, asserts nothing.

use sipwarden::config;
use sipwarden::dispatch::Loads;
use sipwarden::facts::WorkerId;
use sipwarden::facts::event::ReloadTrigger;
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::Secret;
use sipwarden::proxy::{Core, Input, Interfaces, Plan};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SETS: u32 = 100;
const MEMBERS: u32 = 100;
const ROUNDS: u32 = 10;

/// The file; `changed` gives every tenth destination another weight. What is `new` has one destination
/// more, and another weight for all.
fn file(changed: bool, new: bool) -> String {
    let mut text = "listen: [\"udp://10.255.0.1:5060\"]\nroutes: [{set: set-0}]\nsets:\n".to_owned();
    for set in 0..SETS {
        let _ = writeln!(text, "  set-{set}:\n    destinations:");
        for member in 0..MEMBERS + u32::from(new && set == 0) {
            let weight = if new || changed && member % 10 == 0 { 2 } else { 1 };
            let address = format!("10.{set}.{member}.1");
            let _ =
                writeln!(text, "      - {{id: d{member}, uri: \"sip:{address}:5060\", weight: {weight}}}");
        }
    }
    text
}

fn main() {
    measure("every tenth changes its weight", &file(true, false));
    measure("all change their weights, and one comes or goes", &file(false, true));
}

fn measure(what: &str, changed: &str) {
    let as_is = file(false, false);
    let mut names = Names::default();
    let mut compile = |text: &str, former: Option<&Plan>| {
        let begun = Instant::now();
        let config = config::from_str(text, "bench.yaml", &BTreeMap::new()).expect("the file is valid");
        let read = begun.elapsed();
        let mut added = names.clone();
        let mut plan = Plan::new(config.proxy, &Interfaces::default(), &mut added);
        if let Some(former) = former {
            plan = plan.after(former);
        }
        let plan = Arc::new(plan);
        names = added;
        (plan, read, begun.elapsed())
    };
    let (plan, ..) = compile(&as_is, None);
    let start = Instant::now();
    let secret = Secret::new([7; 16]);
    let loads = Loads::new(start);
    let mut owner = Core::new(WorkerId(0), Arc::clone(&plan), &secret, &loads, Instant::now, start);
    let mut follower = Core::new(WorkerId(1), Arc::clone(&plan), &secret, &loads, Instant::now, start);
    // As the control plane does, which lets go of the old plan when all workers have.
    let mut running = plan;
    let mut now = start;
    let mut worst = [Duration::ZERO; 5];
    for round in 1..=ROUNDS {
        // Every destination has been probed by then, so that there is something to keep.
        for _ in 0..40 {
            now += Duration::from_millis(100);
            owner.handle_timeout(now);
            owner.outbox().drain_events();
            owner.outbox().clear();
        }
        let _ = owner.take_verdicts();
        let (plan, read, compiled) = compile(if round % 2 == 0 { &as_is } else { changed }, Some(&running));
        let reload = Input::Reload { plan: Arc::clone(&plan), trigger: ReloadTrigger::Api };
        let replan = Input::Replan(Arc::clone(&plan));
        let mut begun = Instant::now();
        owner.handle_input(reload, now);
        let verdicts = owner.take_verdicts().expect("a reload gives verdicts");
        let owned = begun.elapsed();
        owner.outbox().drain_events();
        owner.outbox().clear();
        begun = Instant::now();
        follower.handle_input(replan, now);
        follower.handle_input(Input::Verdicts(verdicts), now);
        let followed = begun.elapsed();
        follower.outbox().drain_events();
        drop(std::mem::replace(&mut running, plan));
        let all = compiled + owned + followed;
        for (worst, took) in worst.iter_mut().zip([read, compiled, owned, followed, all]) {
            *worst = (*worst).max(took);
        }
    }
    let [read, compiled, owned, followed, all] = worst;
    println!("reload of {} destinations in {SETS} sets, {what}, the longest of {ROUNDS}:", SETS * MEMBERS);
    println!("  file read and checked      {read:>10.1?}");
    println!("  the same and compiled      {compiled:>10.1?}");
    println!("  worker 0 takes no calls    {owned:>10.1?}");
    println!("  other workers take none    {followed:>10.1?}");
    println!("  all together               {all:>10.1?}");
}
