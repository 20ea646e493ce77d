#[path = "support/rig.rs"]
mod rig;
use rig::{Rig, Shape};
fn main() {
    let n: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(4000);
    let mut rig = Rig::new(Shape::default(), true);
    for _ in 0..n {
        rig.call();
    }
    println!("{} calls {:?}", rig.calls(), rig.core().holdings());
    rig.end();
}
