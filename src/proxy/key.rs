//! The key of `hash` and of registrations: the parts of a request that a set names, made one number.
//!
//! Equal on every instance and after restarts. What a part is, is decided here; where a key leads,
//! by the algorithm.

use crate::dispatch::{Basis, HashCompat, HashPart, Set, kamailio_hash};
use crate::facts::secret::Secret;
use crate::sip::{Message, Uri, digest_user, uri_authority, uri_user};
use smallvec::SmallVec;
use std::net::IpAddr;

/// The key of a request whose parts `part` gives, empty where it has none. `None` if it has none of
/// those that the set names, or the set does not hash on this basis.
pub fn hash_key<'a>(set: &Set, basis: Basis, part: impl Fn(&HashPart) -> &'a [u8]) -> Option<u64> {
    let named = set.key_on(basis);
    let parts: SmallVec<[&[u8]; 4]> = named.iter().map(&part).collect();
    if parts.iter().all(|part| part.is_empty()) {
        return None;
    }
    match set.hash_compat_on(basis) {
        None => u64::try_from(Secret::new([0; 16]).mac(&parts) >> 64).ok(),
        Some(HashCompat::Kamailio) => {
            let (first, second) = kamailio_parts(named.first()?, parts.first()?);
            Some(kamailio_hash(first, second).into())
        }
    }
}

/// The same of a request on the wire.
pub fn hash_key_of(set: &Set, basis: Basis, request: Message<'_>, source: IpAddr) -> Option<u64> {
    let source = match source {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    hash_key(set, basis, |part| match part {
        HashPart::CallId => request.call_id(),
        HashPart::From => request.from_uri(),
        HashPart::To => request.to_uri(),
        HashPart::Ruri => request.request_uri(),
        HashPart::RuriUser => uri_user(request.request_uri()),
        HashPart::AuthUser => digest_user(&request).unwrap_or_default(),
        HashPart::SourceIp => source.as_slice(),
        HashPart::Header(name) => request.header(name).unwrap_or_default(),
    })
}

/// What Kamailio hashes of a part: of a URI the user, and the host with its port unless that is the
/// scheme's own (`get_uri_hash_keys`); of anything else the text. So of a URI that has neither or
/// cannot be read, for which Kamailio selects nothing.
fn kamailio_parts<'a>(part: &HashPart, text: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    match part {
        HashPart::From | HashPart::To | HashPart::Ruri => match (uri_user(text), kamailio_host(text)) {
            (b"", b"") => (text, b""),
            user_and_host => user_and_host,
        },
        HashPart::CallId
        | HashPart::RuriUser
        | HashPart::AuthUser
        | HashPart::SourceIp
        | HashPart::Header(_) => (text, b""),
    }
}

fn kamailio_host(uri: &[u8]) -> &[u8] {
    let authority = uri_authority(uri);
    let Some(parsed) = Uri::parse(uri) else { return authority };
    let own = if parsed.is_secure() { 5061 } else { 5060 };
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if parsed.port == Some(own) => authority.get(..colon).unwrap_or(authority),
        Some(_) | None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{SetSettings, Table};
    use crate::facts::Algorithm;
    use crate::facts::names::Names;

    fn key(key: &[HashPart], compat: Option<HashCompat>, text: &str) -> Option<u64> {
        key_on(Basis::Algorithm, Algorithm::Hash, key, compat, text)
    }

    /// `register_key` is the last of the parts.
    fn key_on(
        basis: Basis,
        algorithm: Algorithm,
        key: &[HashPart],
        compat: Option<HashCompat>,
        text: &str,
    ) -> Option<u64> {
        let settings = SetSettings {
            name: "pbx".into(),
            algorithm,
            hash_key: key.to_vec(),
            hash_compat: compat,
            register_key: key.last().unwrap().clone(),
            objective: 0.999,
            reject_retry_after: std::time::Duration::from_secs(5),
            sources: vec![],
            destinations: vec![],
            failover: crate::dispatch::FailoverSettings::default(),
            passive: crate::dispatch::PassiveSettings::default(),
            retry_after: crate::dispatch::RetryAfterSettings::default(),
            fallback: None,
            when_all_down: crate::facts::WhenAllDown::Reject,
            slow_start: std::time::Duration::ZERO,
        };
        let table = Table::new(vec![settings], &mut Names::default());
        let set = table.sets().next().unwrap();
        let mut index = crate::sip::Index::default();
        let request = crate::sip::parse(text.as_bytes(), crate::sip::Framing::Datagram, &mut index).unwrap();
        hash_key_of(set, basis, request, "192.0.2.7".parse().unwrap())
    }

    fn request(uri: &str, from: &str, more: &str) -> String {
        format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <{from}>;tag=1\r\n\
             To: <sip:bob@example.org:5070>\r\nCall-ID: samecall\r\nCSeq: 1 INVITE\r\n\
             Max-Forwards: 70\r\n{more}\r\n"
        )
    }

    #[test]
    fn each_part_decides_alone() {
        let base = request("sip:alice@h", "sip:x@h", "X-Key: 1\r\nAuthorization: Digest username=\"u\"\r\n");
        let other = [
            (HashPart::CallId, base.replace("samecall", "othercall")),
            (HashPart::From, base.replace("sip:x@h", "sip:y@h")),
            (HashPart::To, base.replace("bob", "bert")),
            (HashPart::Ruri, base.replace("alice@h", "alice@g")),
            (HashPart::RuriUser, base.replace("alice", "alina")),
            (HashPart::AuthUser, base.replace("\"u\"", "\"v\"")),
            (HashPart::Header("X-Key".into()), base.replace("X-Key: 1", "X-Key: 2")),
        ];
        for (part, changed) in &other {
            for compat in [None, Some(HashCompat::Kamailio)] {
                let key = |text: &str| key(std::slice::from_ref(part), compat, text);
                assert!(key(&base).is_some());
                assert_ne!(key(&base), key(changed), "{part:?}");
                for (_, unrelated) in other.iter().filter(|(unrelated, _)| unrelated != part) {
                    let is_in_both = part == &HashPart::Ruri && unrelated.contains("alina");
                    assert!(is_in_both || key(&base) == key(unrelated), "{part:?}");
                }
            }
        }
    }

    #[test]
    fn a_request_without_any_part_has_no_key() {
        let text = request("sip:h", "sip:x@h", "");
        for part in [HashPart::RuriUser, HashPart::AuthUser, HashPart::Header("X-Key".into())] {
            for compat in [None, Some(HashCompat::Kamailio)] {
                assert_eq!(key(std::slice::from_ref(&part), compat, &text), None);
            }
            assert!(key(&[part, HashPart::CallId], None, &text).is_some());
        }
    }

    #[test]
    fn registrations_have_a_key_of_their_own_and_never_kamailios() {
        let text = request("sip:alice@h", "sip:x@h", "");
        let parts = [HashPart::CallId, HashPart::RuriUser];
        let alone = key(&parts[1..], None, &text);
        for algorithm in Algorithm::ALL {
            for compat in [None, Some(HashCompat::Kamailio)] {
                let on = |basis, parts: &[HashPart]| key_on(basis, *algorithm, parts, compat, &text);
                assert_eq!(on(Basis::Registration, &parts), alone, "{algorithm} {compat:?}");
                assert_eq!(on(Basis::Registration, &[HashPart::CallId, HashPart::AuthUser]), None);
                let is_hashed = on(Basis::Algorithm, &parts).is_some();
                assert_eq!(is_hashed, *algorithm == Algorithm::Hash, "{algorithm} {compat:?}");
            }
        }
    }

    #[test]
    fn keys_of_kamailio_are_those_of_its_hash() {
        let key = |part, uri: &str, from: &str| {
            key(&[part], Some(HashCompat::Kamailio), &request(uri, from, "")).unwrap()
        };
        assert_eq!(key(HashPart::CallId, "sip:h", "sip:h"), 3_963_578_534);
        assert_eq!(key(HashPart::To, "sip:h", "sip:h"), 2_129_504_785);
        for uri in
            ["sip:alice@server.com", "sip:alice:pw@server.com:5060;x=1?a=b", "sips:alice@server.com:5061"]
        {
            assert_eq!(key(HashPart::From, "sip:h", uri), 1_412_806_172, "{uri}");
        }
        assert_eq!(key(HashPart::Ruri, "sip:alice@server.com;user=phone", "sip:h"), 1_412_806_172);
        assert_eq!(key(HashPart::RuriUser, "sip:abc@server.com", "sip:h"), 7_167_810);
        assert_eq!(key(HashPart::RuriUser, "tel:abc;phone-context=x", "sip:h"), 7_167_810);
        assert_eq!(key(HashPart::Ruri, "tel:abc;phone-context=x", "sip:h"), 7_167_810);
        for odd in ["urn:service:sos", "sip:a@b@c"] {
            assert_eq!(key(HashPart::From, "sip:h", odd), u64::from(kamailio_hash(odd.as_bytes(), b"")));
        }
        let v6 = u64::from(kamailio_hash(b"a", b"[::1]"));
        assert_eq!(key(HashPart::Ruri, "sip:a@[::1]:5060", "sip:h"), v6);
        assert_eq!(key(HashPart::Ruri, "sip:a@[::1]", "sip:h"), v6);
    }
}
