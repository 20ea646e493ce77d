//! Plays calls through a core, for a profiler that counts: `instructions CALLS`.

#[path = "support/rig.rs"]
#[expect(dead_code, reason = "shared with the tests and the other benches, which use the rest")]
mod rig;

use rig::{Rig, Shape};

fn main() {
    let calls = std::env::args().nth(1).and_then(|argument| argument.parse().ok()).unwrap_or(2_000);
    let mut rig = Rig::new(Shape::default());
    for _ in 0..calls {
        rig.call();
    }
    rig.end();
}
