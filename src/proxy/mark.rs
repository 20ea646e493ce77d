//! The mark in our Record-Route URIs: which destination a dialog belongs to, and proof that the
//! Route came from us.
//!
//! `;d=` *hash of set and id (16 hex)* `.` *MAC over Call-ID and that hash (16 hex)*. The hash depends
//! on names alone, so it survives restarts and is equal on every instance.

use crate::facts::hex::{read_hex, write_hex};
use crate::facts::secret::Secret;
use crate::sip::Uri;

/// The name of the URI parameter.
pub const PARAMETER: &str = "d";

/// Makes and checks marks.
#[derive(Debug)]
pub struct Marks {
    secret: Secret,
}

/// What a destination is called in marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MarkId(u64);

impl MarkId {
    /// The mark of a dialog that belongs to no destination.
    pub const NONE: Self = Self(0);

    /// The mark id of a destination.
    pub fn of(set: &str, destination: &str) -> Self {
        let hash = Secret::new([0; 16]).mac(&[set.as_bytes(), destination.as_bytes()]);
        Self(u64::try_from(hash >> 64).unwrap_or(0))
    }
}

impl Marks {
    /// Marks that depend on the secret alone.
    pub fn new(secret: &Secret) -> Self {
        Self { secret: secret.derive("record-route") }
    }

    /// Appends `d=…` for a dialog.
    pub fn write(&self, id: MarkId, call_id: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(PARAMETER.as_bytes());
        out.push(b'=');
        write_hex(id.0, 16, out);
        out.push(b'.');
        write_hex(self.mac(id, call_id), 16, out);
    }

    /// Reads the mark of a Route URI that names us; `None` without a mark, or with one that was
    /// not made for this Call-ID.
    pub fn read(&self, uri: &Uri<'_>, call_id: &[u8]) -> Option<MarkId> {
        let (id, mac) = uri.param(PARAMETER)?.split_at_checked(16)?;
        let (id, mac) = (MarkId(read_hex(id)?), read_hex(mac.strip_prefix(b".")?)?);
        (mac == self.mac(id, call_id)).then_some(id)
    }

    fn mac(&self, id: MarkId, call_id: &[u8]) -> u64 {
        u64::try_from(self.secret.mac(&[call_id, &id.0.to_be_bytes()]) >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_for_its_call_and_its_secret_only() {
        let marks = Marks::new(&Secret::new([7; 16]));
        let id = MarkId::of("pbx", "asterisk-1");
        let mut uri = b"sip:10.0.0.1:5060;lr;".to_vec();
        marks.write(id, b"call-1", &mut uri);
        let uri = Uri::parse(&uri).unwrap();
        assert_eq!(marks.read(&uri, b"call-1"), Some(id));
        assert_eq!(marks.read(&uri, b"call-2"), None);
        assert_eq!(Marks::new(&Secret::new([8; 16])).read(&uri, b"call-1"), None);
        assert_eq!(marks.read(&Uri::parse(b"sip:10.0.0.1;lr;d=1.1").unwrap(), b"call-1"), None);
        assert_ne!(MarkId::of("pbx", "asterisk-1"), MarkId::of("pbxa", "sterisk-1"));
    }
}
