//! Configurations that are no longer in use, kept while a request is under way that was sent by one.
//!
//! A repetition, a CANCEL or an ACK is written by the configuration that its request was written by:
//! under another name in Via it would belong to nothing (RFC 3261 §17.2.3).

use super::plan::Plan;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which configuration of a core, counted from its start.
pub type Epoch = u32;

/// The configurations before the one in use.
#[derive(Debug, Default)]
pub struct Earlier {
    current: Epoch,
    plans: Vec<(Epoch, Arc<Plan>)>,
}

impl Earlier {
    /// The epoch of the configuration in use.
    pub const fn current(&self) -> Epoch {
        self.current
    }

    /// Begins another epoch; keeps of those before it what is in use.
    pub fn push(&mut self, former: Arc<Plan>, in_use: &BTreeSet<Epoch>) {
        self.plans.push((self.current, former));
        self.plans.retain(|(epoch, _)| in_use.contains(epoch));
        self.current = self.current.wrapping_add(1);
    }

    /// The configuration of an epoch; `plan` is the one in use.
    pub fn at<'a>(&'a self, epoch: Epoch, plan: &'a Plan) -> &'a Plan {
        self.plans.iter().find(|(earlier, _)| *earlier == epoch).map_or(plan, |(_, plan)| plan)
    }
}
