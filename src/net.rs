//! Sockets and names.

mod settings;

pub use settings::{Bind, DnsSettings, Family, Settings};
