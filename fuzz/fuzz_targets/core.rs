//! Any sequence of inputs into a whole core: calls, answers, CANCELs, broken and doubled messages,
//! lost destinations, reloads, time. Afterwards nothing is left of any request.
#![no_main]

#[path = "../../tests/support/sim.rs"]
#[allow(dead_code, reason = "shared with the flow tests, which use the rest")]
mod sim;

use libfuzzer_sys::fuzz_target;
use sim::{CALLER, Call, D1, D2, Health, TWO, World, header, reply};
use sipwarden::facts::event::TransportReason;
use sipwarden::facts::{Admin, Hop, ListenerId, Transport};
use sipwarden::proxy::Input;

const CODES: [u16; 14] = [100, 180, 183, 200, 202, 302, 401, 404, 408, 486, 487, 500, 503, 603];
const METHODS: [&str; 8] =
    ["INVITE", "BYE", "MESSAGE", "REGISTER", "OPTIONS", "UPDATE", "SUBSCRIBE", "NOTIFY"];
const HEALTH: [Health; 4] = [Health::Answers(200), Health::Answers(503), Health::Silent, Health::Unreachable];
const ADMIN: [Admin; 3] = [Admin::Enabled, Admin::Draining, Admin::Disabled];

fuzz_target!(|data: &[u8]| {
    let mut story = Story::new(data);
    while story.step() {}
    story.world.settle();
});

struct Story<'a> {
    data: std::slice::Iter<'a, u8>,
    world: World,
    calls: Vec<Call>,
    /// What each destination received last, and what the caller sent last.
    last: [Option<(Hop, String)>; 2],
    said: String,
}

impl<'a> Story<'a> {
    fn new(data: &'a [u8]) -> Self {
        let calls = (0..4).map(|n| Call::new(&format!("fuzz-{n}"))).collect();
        Self { data: data.iter(), world: World::new(TWO), calls, last: [None, None], said: String::new() }
    }

    fn byte(&mut self) -> usize {
        self.data.next().copied().map_or(0, usize::from)
    }

    fn step(&mut self) -> bool {
        let Some(&operation) = self.data.next() else { return false };
        match operation % 12 {
            0..=2 => self.request(),
            3..=5 => self.answer(),
            6 => self.companion(),
            7 => self.mangled(),
            8 => {
                let ms = [1, 40, 500, 2_000, 7_000, 33_000, 190_000][self.byte() % 7];
                self.world.advance(ms);
            }
            9 => {
                let (at, health) = (self.destination(), HEALTH[self.byte() % 4]);
                self.world.set_health(at, health);
            }
            10 => self.undeliverable(),
            _ => self.control(),
        }
        self.collect();
        true
    }

    fn destination(&mut self) -> &'static str {
        [D1, D2][self.byte() % 2]
    }

    fn request(&mut self) {
        let (call, method) = (self.byte() % 4, METHODS[self.byte() % 8]);
        self.said = self.calls[call].request(method);
        let said = self.said.clone();
        self.world.receive(CALLER, &said);
    }

    fn companion(&mut self) {
        let (call, kind) = (self.byte() % 4, self.byte() % 3);
        self.said = match kind {
            0 => self.calls[call].companion("CANCEL"),
            1 => self.calls[call].companion("ACK"),
            _ => self.calls[call].ack(),
        };
        let said = self.said.clone();
        self.world.receive(CALLER, &said);
    }

    fn answer(&mut self) {
        let (which, code) = (self.byte() % 2, CODES[self.byte() % 14]);
        let Some((_, request)) = self.last[which].clone() else { return };
        let at = [D1, D2][which];
        self.world.receive(at, &reply(&request, code, "callee", &format!("sip:1000@{at}")));
    }

    /// The caller's last message again, with some bytes changed.
    fn mangled(&mut self) {
        let mut bytes = self.said.clone().into_bytes();
        for _ in 0..self.byte() % 4 {
            let (place, value) = (self.byte() << 8 | self.byte(), self.byte());
            if let Some(byte) = bytes.len().checked_sub(1).and_then(|end| bytes.get_mut(place % (end + 1))) {
                *byte = u8::try_from(value).expect("a byte");
            }
        }
        let hop = Hop {
            transport: Transport::Udp,
            listener: ListenerId::new(0),
            remote: sim::address(CALLER),
            connection: None,
        };
        self.world.input(Input::Message { hop, bytes: &bytes });
    }

    fn undeliverable(&mut self) {
        let which = self.byte() % 2;
        let Some((hop, message)) = self.last[which].clone() else { return };
        let quote = message.as_bytes()[..message.len().min(self.byte() * 4)].to_vec();
        self.world.input(Input::Undeliverable { hop, message: &quote, reason: TransportReason::Icmp });
    }

    fn control(&mut self) {
        match self.byte() % 3 {
            0 => {
                let (id, admin) = (["d1", "d2"][self.byte() % 2], ADMIN[self.byte() % 3]);
                self.world.set_admin(id, admin);
            }
            1 => self.world.reload(TWO),
            _ => {
                let at = self.destination();
                let is_unreachable = self.byte() % 2 == 0;
                self.world.set_unreachable(at, is_unreachable);
            }
        }
    }

    fn collect(&mut self) {
        for (which, at) in [D1, D2].into_iter().enumerate() {
            if let Some(sent) =
                self.world.drain(at).into_iter().rfind(|sent| !sent.text.starts_with("SIP/2.0"))
            {
                self.last[which] = Some((sent.hop, sent.text));
            }
        }
        for sent in self.world.drain(CALLER) {
            let is_answer = sent.text.starts_with("SIP/2.0 2");
            let id = header(&sent.text, "Call-ID").map(str::to_owned);
            if let Some(call) =
                self.calls.iter_mut().find(|call| Some(&call.id) == id.as_ref()).filter(|_| is_answer)
            {
                call.learn(&sent.text);
            }
        }
        self.world.events.retain(|event| {
            use sipwarden::facts::event::Event;
            matches!(event, Event::RequestReceived { .. } | Event::TransactionFinished(_))
        });
    }
}
