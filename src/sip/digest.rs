//! The user of digest credentials (RFC 3261 §22.4, RFC 2617 §3.2.2), for who is asking: nothing is
//! verified here.

use super::Message;
use super::scan::list;

const SCHEME: &[u8] = b"Digest";

/// The user part, up to an `@`, of the user name in Proxy-Authorization, or else in Authorization;
/// as written, escapes included. `None` if neither has digest credentials with a user name.
pub fn digest_user<'a>(request: &Message<'a>) -> Option<&'a [u8]> {
    ["Proxy-Authorization", "Authorization"].iter().find_map(|name| request.header(name).and_then(user))
}

fn user(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, params) = credentials.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || !params.first()?.is_ascii_whitespace() {
        return None;
    }
    let name = list(params).find_map(|param| {
        let (name, value) = param.split_at_checked(param.iter().position(|byte| *byte == b'=')?)?;
        let value = value.get(1..)?.trim_ascii();
        name.trim_ascii().eq_ignore_ascii_case(b"username").then_some(value)
    })?;
    let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
    name.split(|byte| *byte == b'@').next().map(<[u8]>::trim_ascii).filter(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Framing, Index, parse};

    #[test]
    fn reads_the_user_of_digest_credentials_alone() {
        for (credentials, expected) in [
            (r#"Digest username="alice", realm="a, b", nonce="x""#, Some("alice")),
            (r#"digest realm="username=\"eve\"", Username = "bob@example.com""#, Some("bob")),
            ("Digest\r\n username=carol", Some("carol")),
            (r#"Digest realm="a""#, None),
            (r#"Digest username="""#, None),
            (r#"Digest username="@x""#, None),
            ("Digest", None),
            ("Digestusername=a", None),
            (r#"Basic username="alice""#, None),
            ("", None),
        ] {
            assert_eq!(user(credentials.as_bytes()), expected.map(str::as_bytes), "{credentials}");
        }
    }

    #[test]
    fn the_proxys_credentials_come_first() {
        let user_of = |headers: &str| {
            let text = format!(
                "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
                 To: <sip:a@h>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n{headers}\r\n"
            );
            let mut index = Index::default();
            let message = parse(text.as_bytes(), Framing::Datagram, &mut index).unwrap();
            digest_user(&message).map(<[u8]>::to_vec)
        };
        let one = "Authorization: Digest username=\"one\"\r\n";
        let two = "Proxy-Authorization: Digest username=\"two\"\r\n";
        assert_eq!(user_of(&format!("{one}{two}")), Some(b"two".to_vec()));
        assert_eq!(user_of(one), Some(b"one".to_vec()));
        assert_eq!(user_of(&format!("{one}Proxy-Authorization: Bearer x\r\n")), Some(b"one".to_vec()));
        assert_eq!(user_of(""), None);
    }
}
