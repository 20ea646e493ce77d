//! A request around a batch: `ExportTraceServiceRequest` with our resource and scope, and for gRPC
//! the frame around that.
//!
//! Both come before the spans. A buffer keeps room for them in front, so that the spans stay where
//! they were written.

use super::sdk::resource_message;
use super::wire::{field, size_of_field, varint};
use crate::telemetry::settings::OtlpProtocol;
use opentelemetry_sdk::Resource;

/// Lengths of one request: three of up to 32 bits with their tags, and gRPC's frame.
const LENGTHS: usize = 3 * 6 + 5;

/// What all requests to one collector have in common.
#[derive(Debug)]
pub struct Envelope {
    /// `ResourceSpans.resource`, whole.
    resource: Vec<u8>,
    /// `ScopeSpans.scope`, whole.
    scope: Vec<u8>,
    protocol: OtlpProtocol,
}

impl Envelope {
    /// An envelope with this resource.
    pub fn new(resource: &Resource, protocol: OtlpProtocol) -> Self {
        let (mut whole, mut name, mut scope) = (Vec::new(), Vec::new(), Vec::new());
        field(&mut whole, 0x0a, &resource_message(resource));
        field(&mut name, 0x0a, b"sipwarden");
        field(&mut name, 0x12, env!("CARGO_PKG_VERSION").as_bytes());
        field(&mut scope, 0x0a, &name);
        Self { resource: whole, scope, protocol }
    }

    /// Bytes that a buffer of spans has to keep free in front.
    pub const fn room(&self) -> usize {
        LENGTHS + self.resource.len() + self.scope.len()
    }

    /// Closes a buffer whose spans begin behind the room; where the request begins.
    pub fn seal(&self, bytes: &mut [u8]) -> usize {
        let spans = bytes.len().saturating_sub(self.room());
        let of_scope = self.scope.len() + spans;
        let of_resource = self.resource.len() + size_of_field(of_scope);
        let message = size_of_field(of_resource);
        let mut head = Vec::with_capacity(self.room());
        if self.protocol == OtlpProtocol::Grpc {
            // Not compressed; the length (gRPC over HTTP/2, Length-Prefixed-Message).
            head.push(0);
            head.extend_from_slice(&u32::try_from(message).unwrap_or(u32::MAX).to_be_bytes());
        }
        head.push(0x0a);
        varint(&mut head, of_resource as u64);
        head.extend_from_slice(&self.resource);
        head.push(0x12);
        varint(&mut head, of_scope as u64);
        head.extend_from_slice(&self.scope);
        let start = self.room().saturating_sub(head.len());
        if let Some(place) = bytes.get_mut(start..start + head.len()) {
            place.copy_from_slice(&head);
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::otlp::resource;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    #[test]
    fn a_batch_of_any_length_becomes_a_request() {
        for (protocol, frame) in [(OtlpProtocol::Http, 0), (OtlpProtocol::Grpc, 5)] {
            let envelope = Envelope::new(&resource(), protocol);
            for spans in [1, 60, 10_000, 1_200_000] {
                let mut bytes = vec![0; envelope.room()];
                (0..spans).for_each(|_| bytes.extend_from_slice(&[0x12, 0]));
                let start = envelope.seal(&mut bytes);
                let (before, message) = bytes.split_at(start + frame);
                let request = ExportTraceServiceRequest::decode(message).unwrap();
                let [of_resource] = request.resource_spans.as_slice() else { panic!("{spans} spans") };
                let [of_scope] = of_resource.scope_spans.as_slice() else { panic!("{spans} spans") };
                assert_eq!(of_scope.spans.len(), spans);
                let scope = of_scope.scope.as_ref().unwrap();
                assert_eq!(
                    (scope.name.as_str(), scope.version.as_str()),
                    ("sipwarden", env!("CARGO_PKG_VERSION"))
                );
                assert!(of_resource.resource.as_ref().unwrap().attributes.len() > 3);
                let length = u32::try_from(message.len()).unwrap().to_be_bytes();
                assert!(frame == 0 || before.ends_with(&length));
            }
        }
    }
}
