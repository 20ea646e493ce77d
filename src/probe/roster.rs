//! Which endpoints are to be probed, and for whom: a configuration compiled for the prober.
//!
//! Made once per configuration, away from those who take calls; immutable.

use super::Settings;
use crate::facts::Target;
use siphasher::sip128::{Hasher128, SipHasher24};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A destination that is to be probed.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// A hash of everything that makes its endpoint what it is: address or name, transport, sender.
    pub endpoint: u128,
    /// How to probe it.
    pub settings: &'a Settings,
    /// The destination.
    pub target: Target,
}

/// The endpoints to probe, in the order of their first mention.
#[derive(Debug, Default)]
pub struct Roster {
    posts: Vec<Post>,
}

/// A hash of an endpoint and one of its settings: what is one probe.
pub(super) type Identity = (u128, u128);

/// One endpoint to probe.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) identity: Identity,
    pub(super) settings: Arc<Settings>,
    pub(super) targets: SmallVec<[Target; 1]>,
}

/// Settings that many endpoints have.
#[derive(Clone)]
struct Shared {
    hash: u128,
    settings: Arc<Settings>,
}

impl Shared {
    fn new(settings: &Settings) -> Self {
        Self { hash: hash_of(settings), settings: Arc::new(settings.clone()) }
    }
}

impl Roster {
    /// Joins equal endpoints with equal settings, so that one probe counts for all their
    /// destinations. Those with probing off are left out.
    pub fn new<'a>(wanted: impl IntoIterator<Item = Wanted<'a>>) -> Self {
        let mut posts: Vec<Post> = Vec::new();
        let mut shared: HashMap<&Settings, Shared> = HashMap::new();
        let mut places: HashMap<Identity, usize> = HashMap::new();
        let mut last: Option<(&Settings, Shared)> = None;
        for Wanted { endpoint, settings, target } in wanted.into_iter().filter(|one| one.settings.enabled) {
            // Most settings equal those before them, which is quicker seen than hashed.
            let own = match last.take() {
                Some((last, own)) if last == settings => own,
                _ => shared.entry(settings).or_insert_with(|| Shared::new(settings)).clone(),
            };
            let identity = (endpoint, own.hash);
            let place = *places.entry(identity).or_insert(posts.len());
            if let Some(post) = posts.get_mut(place) {
                post.targets.push(target);
            } else {
                let (settings, targets) = (Arc::clone(&own.settings), SmallVec::from_buf([target]));
                posts.push(Post { identity, settings, targets });
            }
            last = Some((settings, own));
        }
        Self { posts }
    }

    /// Whether it has the same endpoints, for the same destinations, in the same order.
    pub fn is_like(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.posts.iter(), other.posts.iter());
        // An identity says the settings, too.
        ours.len() == theirs.len()
            && ours
                .zip(theirs)
                .all(|(our, their)| (our.identity, &our.targets) == (their.identity, &their.targets))
    }

    pub(super) fn posts(&self) -> &[Post] {
        &self.posts
    }
}

/// A hash that is equal for equal values within a process.
pub fn hash_of(value: &impl Hash) -> u128 {
    let mut hasher = SipHasher24::new();
    value.hash(&mut hasher);
    hasher.finish128().as_u128()
}
