//! Writes what the targets begin with to `DIR/TARGET`, and the words they try to `DIR/TARGET.dict`:
//! the messages of `tests/torture`, the configurations of `tests/config` and `config`, and a few
//! stories for the core.

#[path = "../tests/torture/table.rs"]
#[allow(dead_code, reason = "shared with the verdict tests, which use the rest")]
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::io::Result;
use std::path::Path;
use table::{Places, Way};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Pieces of messages that no mutation makes by chance.
const SIP_WORDS: [&str; 36] = [
    "SIP/2.0/UDP ",
    "SIP/2.0/TCP ",
    " SIP/2.0\\x0d\\x0a",
    "SIP/2.0 200 OK\\x0d\\x0a",
    "\\x0d\\x0a\\x0d\\x0a",
    "\\x0d\\x0a\\x09",
    "INVITE ",
    "ACK ",
    "CANCEL ",
    "Via: ",
    "v: ",
    "From: ",
    "f: ",
    "To: ",
    "t: ",
    "Call-ID: ",
    "i: ",
    "CSeq: ",
    "Contact: ",
    "m: ",
    "Max-Forwards: ",
    "Route: ",
    "Record-Route: ",
    "Proxy-Require: ",
    "Content-Length: ",
    "l: ",
    "Content-Type: ",
    ";branch=z9hG4bK",
    ";rport",
    ";received=",
    ";maddr=",
    ";tag=",
    ";lr",
    "[2001:db8::1]",
    "4294967296",
    "sip:",
];

/// Stories as the target `core` reads them: see its operations.
const STORIES: [&[u8]; 9] = [
    // A call that is answered and ended.
    &[0, 0, 0, 3, 0, 1, 3, 0, 3, 6, 0, 2, 0, 0, 1, 3, 0, 3],
    // Ringing, cancelled, ended with 487.
    &[0, 0, 0, 3, 0, 1, 6, 0, 0, 3, 0, 10, 6, 0, 1],
    // Failovers: by 503, by silence, because it is unreachable; then nobody is left.
    &[0, 0, 0, 3, 0, 12, 3, 1, 3],
    &[0, 1, 0, 9, 3, 9, 5],
    &[13, 7, 0, 0, 0, 2, 0, 3, 1, 13],
    &[11, 0, 2, 11, 1, 3, 9, 5, 0, 0, 0],
    // Another configuration, a name that gets an address, a call to it.
    &[13, 4, 1, 13, 9, 1, 0, 0, 0, 3, 1, 3, 13, 4, 0],
    // Drain and abort with a call that nobody has answered, a late 200, the 503 again.
    &[0, 0, 0, 10, 4, 13, 11, 3, 0, 3, 9, 5],
    // Drain and abort with a call ringing.
    &[0, 0, 0, 3, 0, 1, 13, 10, 0, 1, 0, 13, 11],
];

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).expect("seeds DIR");
    let folder = Path::new(&folder);
    for target in ["message", "stream", "config", "core"] {
        fs::create_dir_all(folder.join(target))?;
    }
    messages(folder)?;
    configurations(folder)?;
    for (number, story) in STORIES.iter().enumerate() {
        fs::write(folder.join("core").join(number.to_string()), story)?;
    }
    Ok(())
}

fn messages(folder: &Path) -> Result<()> {
    let place = |text: &str| text.parse().expect("an address");
    let places = Places {
        proxy: place("10.0.0.1:5060"),
        destination: place("10.0.1.1:5060"),
        caller: place("192.0.2.7:5070"),
    };
    for (file, text) in table::FILES {
        for case in table::read(file, text) {
            fs::write(folder.join("message").join(&case.name), case.message(places, Way::Udp))?;
            // The first byte says how long the pieces are; behind the message comes another.
            let message = case.message(places, Way::Tcp);
            let stream = [b"\x25", message.as_slice(), b"\r\n\r\n", &message].concat();
            fs::write(folder.join("stream").join(&case.name), stream)?;
        }
    }
    let words: String = SIP_WORDS.iter().map(|word| format!("\"{word}\"\n")).collect();
    fs::write(folder.join("message.dict"), &words)?;
    fs::write(folder.join("stream.dict"), &words)
}

fn configurations(folder: &Path) -> Result<()> {
    let mut words = BTreeSet::new();
    for from in ["config", "tests/config/valid", "tests/config/invalid"] {
        for entry in fs::read_dir(Path::new(ROOT).join(from))? {
            let path = entry?.path();
            if path.extension().is_none_or(|kind| kind != "yaml") {
                continue;
            }
            let text = fs::read(&path)?;
            let name = path.file_name().expect("a file has a name").to_string_lossy();
            fs::write(folder.join("config").join(format!("{}-{name}", from.replace('/', "-"))), &text)?;
            if name == "reference.yaml" {
                let text = String::from_utf8_lossy(&text);
                let pieces = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                words.extend(pieces.filter(|piece| piece.len() > 1).map(str::to_owned));
            }
        }
    }
    let words: String = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    fs::write(folder.join("config.dict"), words)
}
