//! The core: joins transactions, dispatch and probes into a SIP proxy; decides nothing itself.

mod settings;

pub use settings::{Advertise, Listener, MethodName, Route, Set, Settings};
