//! From configured destinations to one for each address that a name stands for.
//!
//! Pure: the answers are arguments. A name with one address, or with none yet, stays one
//! destination with its own id, which follows the address.

use super::{Set, Settings};
use crate::dispatch::{DestinationSettings, Host};
use crate::facts::lookup::{Found, Lookup};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The last good answer for each name; without one a name has not been resolved yet.
pub type Answers = HashMap<Lookup, Vec<Found>>;

impl Settings {
    /// These settings with a destination for each endpoint.
    pub fn expanded(&self, answers: &Answers) -> Self {
        let sets = self.sets.iter().map(|set| self.expanded_set(set, answers)).collect();
        Self { sets, ..self.clone() }
    }

    fn expanded_set(&self, set: &Set, answers: &Answers) -> Set {
        let configured = &set.dispatch.destinations;
        let mut ids: HashSet<Arc<str>> = configured.iter().map(|one| Arc::clone(&one.id)).collect();
        let (mut destinations, mut probes) = (Vec::new(), Vec::new());
        for (destination, probe) in configured.iter().zip(&set.probes) {
            let found = destination.lookup.as_ref().and_then(|lookup| answers.get(lookup));
            let found = found.map_or(&[][..], Vec::as_slice);
            match found {
                [] => destinations.push(destination.clone()),
                _ if !self.expand => destinations.push(destination.clone()),
                [only] => {
                    let weight = weight(destination, only);
                    destinations.push(DestinationSettings { weight, ..destination.clone() });
                }
                several => {
                    let each = several.iter().map(|found| endpoint(destination, found));
                    // Somebody may have configured an id that looks like one of these.
                    destinations.extend(each.filter(|one| ids.insert(Arc::clone(&one.id))));
                }
            }
            probes.resize(destinations.len(), probe.clone());
        }
        let mut dispatch = set.dispatch.clone();
        dispatch.destinations = destinations;
        Set { dispatch, probes }
    }
}

/// One address of a destination whose name stands for several.
fn endpoint(of: &DestinationSettings, found: &Found) -> DestinationSettings {
    let mut one = of.clone();
    one.id = format!("{}@{}", of.id, found.address).into();
    one.endpoint.host = Host::Address(found.address.ip());
    one.endpoint.port = found.address.port();
    one.weight = weight(of, found);
    one.rank = found.rank;
    one
}

/// The weight of an SRV record counts, unless the configuration takes the destination out.
fn weight(of: &DestinationSettings, found: &Found) -> u32 {
    found.weight.filter(|_| of.weight > 0).unwrap_or(of.weight)
}
