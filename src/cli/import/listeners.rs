//! Sockets of Kamailio, and the listeners that take their place.

use super::place::{Place, shown};
use super::script::{Listen, Script};
use super::yaml::{Page, flow, quoted};
use crate::facts::Transport;
use crate::sip::model::parse_destination;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const DEFAULT_PORT: u16 = 5060;
/// Listeners at most, as the configuration has it.
const MAX_LISTENERS: usize = 64;
/// What stands in a configuration if nothing is written.
const DEFAULTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// One listener.
#[derive(Debug, Clone)]
struct Listener {
    transport: Transport,
    address: SocketAddr,
    name: Option<String>,
    advertise: Option<String>,
    origin: String,
}

impl Listener {
    fn bind(&self) -> String {
        format!("{}://{}", self.transport, self.address)
    }

    fn serves(&self, transport: Transport, is_ipv6: Option<bool>) -> bool {
        let family = is_ipv6.is_none_or(|is_ipv6| self.address.is_ipv6() == is_ipv6);
        self.transport == transport && family
    }
}

/// The listeners that the configuration needs.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    known: Vec<Listener>,
    comments: Vec<String>,
    has_own: bool,
}

impl Listeners {
    /// Those that a script opens.
    pub(super) fn new(script: &Script) -> Self {
        let mut listeners = Self::default();
        for listen in &script.listens {
            listeners.open(listen);
        }
        listeners.has_own = !listeners.known.is_empty();
        listeners
    }

    fn open(&mut self, listen: &Listen) {
        let mut words = listen.words.iter().map(String::as_str).peekable();
        let mut opened = 0..0;
        while let Some(word) = words.next() {
            match word {
                "advertise" => {
                    let mut text = words.next().unwrap_or_default().to_owned();
                    // A name in quotes and the port after it are two words.
                    text.extend(words.next_if(|next| next.starts_with(':')));
                    let is_valid = !text.is_empty() && parse_destination(&format!("sip:{text}")).is_ok();
                    if !is_valid {
                        self.say(&listen.place, &format!("advertise {}: left out", shown(&text)));
                    }
                    for listener in self.known.get_mut(opened.clone()).unwrap_or_default() {
                        listener.advertise = is_valid.then(|| text.clone());
                    }
                }
                "name" => {
                    let name = words.next().unwrap_or_default();
                    if let [listener] = self.known.get_mut(opened.clone()).unwrap_or_default() {
                        listener.name = super::destination::is_id(name).then(|| name.to_owned());
                    }
                }
                _ => {
                    let start = self.known.len();
                    match parse(word) {
                        Ok((transports, address)) => {
                            for transport in transports {
                                self.add(transport, address, &listen.place.to_string());
                            }
                        }
                        Err(reason) => self.say(&listen.place, &format!("listen={}: {reason}", shown(word))),
                    }
                    opened = start..self.known.len();
                }
            }
        }
    }

    fn say(&mut self, place: &Place, text: &str) {
        self.comments.push(format!("{place}: {text}"));
    }

    fn add(&mut self, transport: Transport, address: SocketAddr, origin: &str) {
        let is_known = |known: &Listener| known.transport == transport && known.address == address;
        if !self.known.iter().any(is_known) && self.known.len() < MAX_LISTENERS {
            let origin = origin.to_owned();
            self.known.push(Listener { transport, address, name: None, advertise: None, origin });
        }
    }

    /// The name of the listener of a socket such as `udp:10.0.0.1:5060`, which is added if need
    /// be; or why there is none for a destination over this transport and of this family.
    pub(super) fn of_socket(
        &mut self,
        socket: &str,
        transport: Transport,
        is_ipv6: Option<bool>,
        place: &Place,
    ) -> Result<String, String> {
        let (transports, address) = parse(socket)?;
        let wanted = Listener { transport, address, name: None, advertise: None, origin: String::new() };
        if !transports.contains(&transport) || !wanted.serves(transport, is_ipv6) {
            return Err("it cannot reach the destination: other transport or address family".into());
        }
        let holds = |known: &&Listener| {
            known.transport == transport
                && known.address.port() == address.port()
                && known.address.is_ipv4() == address.is_ipv4()
                && known.address.ip().is_unspecified() != address.ip().is_unspecified()
        };
        if let Some(other) = self.known.iter().find(holds) {
            return Err(format!("{} holds its port already", other.bind()));
        }
        self.add(transport, address, &format!("{place}: socket"));
        let known = self.known.iter().find(|known| known.transport == transport && known.address == address);
        known.map(Self::reference).ok_or_else(|| format!("more than {MAX_LISTENERS} listeners"))
    }

    /// The name of a named socket that can reach such a destination.
    pub(super) fn named(&self, name: &str, transport: Transport, is_ipv6: Option<bool>) -> Option<String> {
        let known = self.known.iter().find(|known| known.name.as_deref() == Some(name))?;
        known.serves(transport, is_ipv6).then(|| Self::reference(known))
    }

    fn reference(listener: &Listener) -> String {
        listener.name.clone().unwrap_or_else(|| listener.bind())
    }

    /// Makes sure that a destination over this transport and of this family can be reached.
    pub(super) fn cover(&mut self, transport: Transport, is_ipv6: Option<bool>) {
        let is_default = self.known.is_empty() && is_ipv6 != Some(true) && DEFAULTS.contains(&transport);
        if is_default || self.known.iter().any(|known| known.serves(transport, is_ipv6)) {
            return;
        }
        let any = |is_ipv6: bool| -> SocketAddr {
            let address: IpAddr =
                if is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
            (address, DEFAULT_PORT).into()
        };
        if self.known.is_empty() {
            DEFAULTS.iter().for_each(|default| self.add(*default, any(false), "the default"));
        }
        let same_family =
            |known: &&Listener| is_ipv6.is_none_or(|is_ipv6| known.address.is_ipv6() == is_ipv6);
        let address = self.known.iter().find(same_family).map(|known| known.address);
        let address = address.unwrap_or_else(|| any(is_ipv6 == Some(true)));
        self.add(transport, address, "added, because a destination needs it");
    }

    /// Writes the section, if there is anything in it that is not the default.
    pub(super) fn write(&self, page: &mut Page) {
        page.comments(0, &self.comments);
        if self.known.is_empty() {
            return;
        }
        if !self.has_own {
            let text = "No `listen` of a kamailio.cfg was read: add the addresses that calls come in on.";
            page.comment(0, text);
        }
        page.line(0, "listen:");
        for listener in &self.known {
            let mut pairs = vec![("bind", quoted(&listener.bind()))];
            pairs.extend(listener.name.as_ref().map(|name| ("name", quoted(name))));
            pairs.extend(listener.advertise.as_ref().map(|text| ("advertise", quoted(text))));
            let origin: String = listener.origin.chars().map(super::place::printable).collect();
            page.line(1, &format!("- {}  # {origin}", flow(&pairs)));
        }
    }
}

/// The transports and the address of `[PROTOCOL:]ADDRESS[:PORT]`; without a protocol it is both.
fn parse(text: &str) -> Result<(Vec<Transport>, SocketAddr), String> {
    let (protocol, rest) = match text.split_once(':') {
        Some((word, rest)) if word.chars().all(|c| c.is_ascii_alphabetic()) && !word.is_empty() => {
            (word, rest)
        }
        Some(_) | None => ("", text),
    };
    let protocol = protocol.to_ascii_lowercase();
    let transports = match (protocol.as_str(), Transport::from_word(&protocol)) {
        ("", _) => DEFAULTS.to_vec(),
        (_, Some(transport)) => vec![transport],
        ("tls" | "ws" | "wss" | "sctp", None) => {
            return Err("left out: no listener for it in this version".into());
        }
        (_, None) => return Err("left out: expected an address, not the name of an interface or host".into()),
    };
    let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
    let without_port = || bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DEFAULT_PORT));
    let address = rest.parse::<SocketAddr>().ok().or_else(without_port);
    let is_usable = |address: &SocketAddr| address.port() != 0;
    let address = address.filter(is_usable);
    address
        .map(|address| (transports, address))
        .ok_or_else(|| "left out: expected an address, not the name of an interface or host".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { file: "cfg".into(), line: 1 }
    }

    fn of(lines: &[&[&str]]) -> Listeners {
        let mut listeners = Listeners::default();
        for words in lines {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            listeners.open(&Listen { place: place(), words });
        }
        listeners
    }

    fn written(listeners: &Listeners) -> String {
        let mut page = Page::default();
        listeners.write(&mut page);
        page.finish()
    }

    #[test]
    fn opens_what_the_script_opens_with_names_and_advertised_addresses() {
        let listeners = of(&[
            &["udp:10.0.0.1:5080", "advertise", "sip.example.com", ":5060", "name", "inside"],
            &["10.0.0.1"],
            &["tls:10.0.0.1:5061"],
            &["eth0"],
        ]);
        let text = written(&listeners);
        let wanted =
            r#"- {bind: "udp://10.0.0.1:5080", name: "inside", advertise: "sip.example.com:5060"}  # cfg:1"#;
        assert!(text.contains(wanted), "{text}");
        assert!(text.contains("tcp://10.0.0.1:5060") && text.contains("udp://10.0.0.1:5060"), "{text}");
        assert_eq!(text.matches("left out").count(), 2, "{text}");
        assert_eq!(listeners.named("inside", Transport::Udp, Some(false)).as_deref(), Some("inside"));
        assert_eq!(listeners.named("inside", Transport::Tcp, None), None);
    }

    #[test]
    fn a_socket_is_added_once_and_only_where_it_fits() {
        let mut listeners = Listeners::default();
        let socket = |listeners: &mut Listeners, text: &str, transport| {
            listeners.of_socket(text, transport, Some(false), &place())
        };
        assert_eq!(
            socket(&mut listeners, "udp:10.0.0.1:5060", Transport::Udp).unwrap(),
            "udp://10.0.0.1:5060"
        );
        assert_eq!(socket(&mut listeners, "10.0.0.1", Transport::Udp).unwrap(), "udp://10.0.0.1:5060");
        assert!(socket(&mut listeners, "udp:10.0.0.1:5060", Transport::Tcp).is_err());
        assert!(socket(&mut listeners, "udp:[::1]:5060", Transport::Udp).is_err());
        assert!(
            socket(&mut listeners, "udp:0.0.0.0:5060", Transport::Udp)
                .unwrap_err()
                .contains("holds its port")
        );
        assert_eq!(listeners.known.len(), 1);
    }

    #[test]
    fn adds_what_destinations_need_and_nothing_more() {
        let mut listeners = Listeners::default();
        listeners.cover(Transport::Tcp, Some(false));
        assert_eq!(written(&listeners), "");
        listeners.cover(Transport::Udp, Some(true));
        assert_eq!(listeners.known.len(), 3);
        let mut listeners = of(&[&["udp:10.0.0.1:5060"]]);
        listeners.cover(Transport::Tcp, None);
        assert!(written(&listeners).contains("tcp://10.0.0.1:5060"));
    }
}
