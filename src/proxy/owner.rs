//! Whose message it is, told from as few bytes as possible.

use crate::facts::WorkerId;
use crate::facts::secret::Secret;
use crate::transaction::Branch;

/// The worker that owns a message: for a response the one named in our branch, for a request the
/// one its Call-ID hashes to. `None` if neither can be read; then the receiver keeps it.
pub fn owner(message: &[u8], workers: u8) -> Option<WorkerId> {
    if workers <= 1 {
        return Some(WorkerId(0));
    }
    let message = without_leading_lines(message);
    if message.starts_with(b"SIP/") {
        return branch_of(message).map(|branch| branch.worker).filter(|worker| worker.0 < workers);
    }
    let call_id = value_of(message, b"call-id", b'i')?;
    let hash = Secret::new([0; 16]).mac(&[call_id]);
    u8::try_from(hash % u128::from(workers)).ok().map(WorkerId)
}

/// The worker that sent a request of ours, of which an error may quote the first bytes only: the
/// one named in our branch. `None` for a response, which nobody waits for.
pub fn sender(message: &[u8], workers: u8) -> Option<WorkerId> {
    branch_of(message).map(|branch| branch.worker).filter(|worker| worker.0 < workers)
}

/// Our branch in the first Via of a message, which may be cut behind it.
pub fn branch_of(message: &[u8]) -> Option<Branch> {
    let via = value_of(message, b"via", b'v')?;
    let first = via.split(|byte| *byte == b',').next()?;
    first.split(|byte| *byte == b';').find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(parameter.iter().position(|byte| *byte == b'=')?)?;
        name.trim_ascii().eq_ignore_ascii_case(b"branch").then_some(())?;
        Branch::read(value.strip_prefix(b"=")?.trim_ascii())
    })
}

/// A message from its start line on: empty lines before it are allowed (RFC 3261 §7.5).
fn without_leading_lines(mut message: &[u8]) -> &[u8] {
    while let Some(rest) = message.strip_prefix(b"\r\n") {
        message = rest;
    }
    message
}

/// The value of the first header field with a name or its compact form, on one line.
fn value_of<'a>(message: &'a [u8], name: &[u8], compact: u8) -> Option<&'a [u8]> {
    let mut lines = message.split(|byte| *byte == b'\n').skip(1);
    lines.find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (found, value) = line.split_at_checked(colon)?;
        let found = found.trim_ascii();
        let matches = found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(&[compact]);
        matches.then(|| value.strip_prefix(b":").unwrap_or(value).trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Purpose;

    #[test]
    fn a_response_belongs_to_the_worker_of_its_branch() {
        let branch = Branch { purpose: Purpose::Call, worker: WorkerId(2), slot: 9, nonce: 4, loop_hash: 1 };
        let mut text = Vec::new();
        branch.write(&mut text);
        let text = String::from_utf8(text).unwrap();
        let response =
            format!("SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 10.0.0.1 ;rport; branch={text},SIP/2.0/UDP x\r\n");
        assert_eq!(owner(response.as_bytes(), 4), Some(WorkerId(2)));
        assert_eq!(owner(response.as_bytes(), 2), None);
        assert_eq!(owner(format!("\r\n\r\n{response}").as_bytes(), 4), Some(WorkerId(2)));
        assert_eq!(sender(response.as_bytes(), 4), Some(WorkerId(2)));
        assert_eq!(sender(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;bra", 4), None);
        assert_eq!(owner(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\n", 2), None);
    }

    #[test]
    fn requests_of_one_call_share_a_worker_and_calls_spread() {
        let worker = |call: u32, line: &str| {
            owner(
                format!("{line} sip:a SIP/2.0\r\nMax-Forwards: 7\r\nCall-ID: call-{call}@h\r\n").as_bytes(),
                4,
            )
        };
        assert_eq!(worker(1, "INVITE"), worker(1, "BYE"));
        let seen: std::collections::BTreeSet<_> = (0..64).map(|call| worker(call, "INVITE")).collect();
        assert_eq!(seen.len(), 4);
        assert_eq!(
            owner(b"OPTIONS sip:a SIP/2.0\r\ni:c\r\n", 2),
            owner(b"BYE sip:a SIP/2.0\r\nCall-ID: c\r\n", 2)
        );
    }
}
