//! Metrics, spans and logs: the three readers of the event vocabulary.

mod settings;

pub use settings::{LogFormat, OtlpProtocol, Settings};
