//! The wire: reads SIP messages where they lie, edits them as splices, builds and frames them.
//!
//! A received message is indexed in place by [`parse`]; [`Message`] and the views it gives borrow
//! from the datagram, so forwarded bytes are never re-printed and no header costs an allocation.
//! Strict where RFC 3261 §16.3 makes a proxy strict, and where two readers could see two different
//! messages; lenient everywhere else. Knows nothing of transactions, destinations or sockets.

pub mod build;
mod digest;
pub mod edit;
mod message;
pub mod model;
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;
mod scan;
pub mod stream;
mod uri;
mod via;

pub use build::{Reply, ack, cancel, reason_phrase, reply};
pub use digest::digest_user;
pub use edit::{RequestEdit, Stamp, TraceEdit, forward_request, forward_response, replace_top_via};
pub use message::Message;
pub use model::{DestinationUri, ProbeParts, ProbeTemplate, UriError, parse_destination};
pub use parse::{Framing, Index, ParseError, limits, parse, partial};
pub use scan::{element_uri, is_keep_alive, list};
pub use stream::{Frame, FrameError, Framer};
pub use uri::{Uri, uri_authority, uri_user, without_maddr};
pub use via::Via;
