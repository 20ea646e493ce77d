//! Whole instances on loopback: real sockets, threads, and HTTP.

use super::*;
use crate::admin::client::Client;
use crate::config;
use crate::facts::{Transport, WorkerId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

fn yaml(sip: SocketAddr, http: SocketAddr, destinations: &[SocketAddr]) -> String {
    let destinations: Vec<String> = destinations.iter().map(|address| format!("\"sip:{address}\"")).collect();
    format!(
        "listen: [\"udp://{sip}\", \"tcp://{sip}\"]\nworkers: 2\nhttp: {{listen: \"{http}\"}}\n\
         drain: {{timeout: 1s}}\nsets: {{pbx: {{destinations: [{}]}}}}\n",
        destinations.join(", ")
    )
}

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn started(text: &str) -> Result<Running, StartError> {
    start(config::from_str(text, "test.yaml", &BTreeMap::new()).unwrap(), None).await
}

fn address(running: &Running, wanted: Transport) -> SocketAddr {
    running.sip.iter().find(|(transport, _)| *transport == wanted).unwrap().1
}

async fn metrics(running: &Running) -> String {
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    timeout(SOON, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// A destination that answers every request with 200; ACKs are not answered.
async fn destination() -> SocketAddr {
    answering(|_| "200 OK").await
}

/// A destination that answers each request but ACK as `status` says.
async fn answering(status: fn(&str) -> &'static str) -> SocketAddr {
    let socket = UdpSocket::bind(any()).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !request.starts_with("ACK") {
                let answer = ok(&request).replace("200 OK", status(&request));
                socket.send_to(answer.as_bytes(), from).await.unwrap();
            }
        }
    });
    address
}

fn ok(request: &str) -> String {
    let copied = ["via:", "from:", "call-id:", "cseq:", "record-route:"];
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for line in request.split("\r\n") {
        let lower = line.to_ascii_lowercase();
        if copied.iter().any(|name| lower.starts_with(name)) {
            answer += &format!("{line}\r\n");
        } else if lower.starts_with("to:") {
            answer += &format!("{line};tag=uas\r\n");
        }
    }
    answer + "Contact: <sip:uas@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
}

fn invite(number: u32, token: &str, from: SocketAddr) -> String {
    format!(
        "INVITE sip:{number}@example.com SIP/2.0\r\nVia: SIP/2.0/{token} {from};branch=z9hG4bK-{number};rport\r\n\
         From: <sip:a@example.com>;tag={number}\r\nTo: <sip:{number}@example.com>\r\nCall-ID: call-{number}@{from}\r\n\
         CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_served_whichever_worker_a_datagram_reaches() {
    let running = started(&yaml(any(), any(), &[destination().await])).await.unwrap();
    let sip = address(&running, Transport::Udp);
    let mut buffer = vec![0; 65_535];
    for number in 0..16 {
        let caller = UdpSocket::bind(any()).await.unwrap();
        caller.send_to(invite(number, "UDP", caller.local_addr().unwrap()).as_bytes(), sip).await.unwrap();
        loop {
            let (length, _) = timeout(SOON, caller.recv_from(&mut buffer)).await.unwrap().unwrap();
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if answer.starts_with("SIP/2.0 200") {
                assert!(answer.contains(&format!("call-{number}@")), "{answer}");
                break;
            }
            assert!(answer.starts_with("SIP/2.0 1"), "{answer}");
        }
    }
    let text = metrics(&running).await;
    assert!(text.contains("sipwarden_set_all_down{set=\"pbx\"} 0"), "{text}");
    running.stop().await;
}

/// The value of one series.
fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// The kernel chooses the worker that a datagram reaches, by addresses; its Call-ID or branch
/// chooses the one that it belongs to. With two of them half the datagrams change over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_each_hands_half_of_what_it_receives_to_the_other() {
    const CALLS: u32 = 200;
    let text = yaml(any(), any(), &[destination().await]);
    let running = started(&text.replace("{pbx: {", "{pbx: {probe: {enabled: false}, ")).await.unwrap();
    let sip = address(&running, Transport::Udp);
    let mut buffer = vec![0; 65_535];
    for number in 0..CALLS {
        let caller = UdpSocket::bind(any()).await.unwrap();
        caller.send_to(invite(number, "UDP", caller.local_addr().unwrap()).as_bytes(), sip).await.unwrap();
        loop {
            let (length, _) = timeout(SOON, caller.recv_from(&mut buffer)).await.unwrap().unwrap();
            match &buffer[..length] {
                answer if answer.starts_with(b"SIP/2.0 200 ") => break,
                answer => assert!(answer.starts_with(b"SIP/2.0 100 "), "{}", String::from_utf8_lossy(answer)),
            }
        }
    }
    let text = metrics(&running).await;
    let handed = value(&text, "sipwarden_worker_handover_total{result=\"ok\"}");
    let received = |kind: &str| {
        value(
            &text,
            &format!("sipwarden_messages_total{{transport=\"udp\",direction=\"received\",kind=\"{kind}\"}}"),
        )
    };
    let received = received("request") + received("response");
    // Six standard deviations either way.
    let share = handed * 100 / received;
    assert!((35..=65).contains(&share), "{handed} of {received} datagrams were handed over");
    assert_eq!(value(&text, "sipwarden_worker_handover_total{result=\"full\"}"), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_stream_are_answered_on_it() {
    let running = started(&yaml(any(), any(), &[destination().await])).await.unwrap();
    let mut caller = TcpStream::connect(address(&running, Transport::Tcp)).await.unwrap();
    let from = caller.local_addr().unwrap();
    let calls: String = (0..8).map(|number| invite(number, "TCP", from)).collect();
    caller.write_all(calls.as_bytes()).await.unwrap();
    let (mut text, mut buffer) = (String::new(), vec![0; 65_535]);
    while text.matches("SIP/2.0 200 OK").count() < 8 {
        let length = timeout(SOON, caller.read(&mut buffer)).await.unwrap().unwrap();
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    running.stop().await;
}

/// The answer to a large INVITE, whose destination takes TCP connections or not.
async fn call_with_a_large_request(stream: Option<std::net::TcpListener>, destination: SocketAddr) -> String {
    let running = started(&yaml(any(), any(), &[destination])).await.unwrap();
    let caller = UdpSocket::bind(any()).await.unwrap();
    let padding = format!("X-Padding: {}\r\nMax-Forwards", "x".repeat(1_300));
    let large = invite(1, "UDP", caller.local_addr().unwrap()).replace("Max-Forwards", &padding);
    caller.send_to(large.as_bytes(), address(&running, Transport::Udp)).await.unwrap();
    if let Some(listener) = stream {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (mut connection, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        let (mut request, mut buffer) = (String::new(), vec![0; 65_535]);
        while !request.ends_with("\r\n\r\n") {
            let length = timeout(SOON, connection.read(&mut buffer)).await.unwrap().unwrap();
            assert!(length > 0, "{request}");
            request.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        connection.write_all(ok(&request).as_bytes()).await.unwrap();
    }
    let mut buffer = vec![0; 65_535];
    let answer = loop {
        let (length, _) = timeout(SOON, caller.recv_from(&mut buffer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    running.stop().await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_leaves_over_tcp_and_where_that_is_refused_over_udp() {
    let destination = destination().await;
    let record_routes = |answer: &str| answer.matches("Record-Route").count();
    let over_udp = call_with_a_large_request(None, destination).await;
    assert!(over_udp.starts_with("SIP/2.0 200"), "{over_udp}");
    assert_eq!(record_routes(&over_udp), 1, "{over_udp}");
    let listener = std::net::TcpListener::bind(destination).unwrap();
    let over_tcp = call_with_a_large_request(Some(listener), destination).await;
    assert!(over_tcp.starts_with("SIP/2.0 200"), "{over_tcp}");
    assert_eq!(record_routes(&over_tcp), 2, "{over_tcp}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_is_told_which_port_is_in_use_and_leaves_nothing_behind() {
    let destination = [([127, 0, 0, 1], 9).into()];
    let first = started(&yaml(any(), any(), &destination)).await.unwrap();
    let sip = address(&first, Transport::Udp);
    let again = config::from_str(
        &format!("listen: [\"udp://{sip}\"]\nhttp: {{listen: \"{}\"}}\nsets: {{pbx: {{destinations: [sip:127.0.0.1:9]}}}}", any()),
        "again.yaml",
        &BTreeMap::new(),
    )
    .unwrap();
    let error = start(again, None).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("listener udp://{sip}: port in use")), "{error}");

    let free = std::net::UdpSocket::bind(any()).unwrap().local_addr().unwrap();
    let error = started(&yaml(free, first.http, &destination)).await.unwrap_err().to_string();
    assert!(error.contains(&first.http.to_string()), "{error}");
    std::net::UdpSocket::bind(free).unwrap();

    assert!(metrics(&first).await.starts_with("HTTP/1.0 200"));
    first.stop().await;
}

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sipwarden-{}-{name}.yaml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    async fn start(&self) -> Running {
        let file = ConfigFile { path: self.0.clone(), environment: BTreeMap::new() };
        start(file.load().unwrap(), Some(file)).await.unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_applied_whole_or_not_at_all() {
    let [one, two, three] = [1, 2, 3].map(|last| SocketAddr::from(([127, 0, 0, last], 9)));
    let file = File::new("reload", &yaml(any(), any(), &[one, two]));
    let running = file.start().await;
    let client = Client::new(&format!("http://{}", running.http), None).unwrap();
    let post = || client.post::<crate::admin::ReloadReport>("/-/reload", None);
    assert!(!post().await.unwrap().changed);

    std::fs::write(&file.0, "sets: {pbx: {destinations: []}}").unwrap();
    assert!(post().await.is_err());
    assert!(metrics(&running).await.contains("destination=\"127.0.0.1:9\""));

    std::fs::write(&file.0, yaml(any(), any(), &[two, three])).unwrap();
    let report = post().await.unwrap();
    assert_eq!((report.changed, report.added, report.removed, report.kept), (true, 1, 1, 1));
    assert_eq!(report.needs_restart, Vec::<String>::new());
    let text = metrics(&running).await;
    assert!(text.contains("destination=\"127.0.0.3:9\"") && !text.contains("destination=\"127.0.0.1:9\""));

    std::fs::write(&file.0, yaml(any(), any(), &[two, three]).replace("workers: 2", "workers: 3")).unwrap();
    assert_eq!(post().await.unwrap().needs_restart, ["workers"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_noticed_even_if_it_was_replaced() {
    let [one, two] = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], 9)));
    let file = File::new("watch", &yaml(any(), any(), &[one]));
    let running = file.start().await;
    let next = File::new("watch-next", &yaml(any(), any(), &[two]));
    std::fs::rename(&next.0, &file.0).unwrap();
    let noticed = async {
        while !metrics(&running).await.contains("destination=\"127.0.0.2:9\"") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, noticed).await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_at_once_without_calls_and_at_its_deadline_with_one() {
    let silent = UdpSocket::bind(any()).await.unwrap();
    let running = started(&yaml(any(), any(), &[silent.local_addr().unwrap()])).await.unwrap();
    let caller = UdpSocket::bind(any()).await.unwrap();
    let request = invite(1, "UDP", caller.local_addr().unwrap());
    caller.send_to(request.as_bytes(), address(&running, Transport::Udp)).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let trying = timeout(SOON, caller.recv_from(&mut buffer)).await.unwrap().unwrap().0;
    assert!(buffer[..trying].starts_with(b"SIP/2.0 100"), "{}", String::from_utf8_lossy(&buffer[..trying]));
    let began = std::time::Instant::now();
    timeout(SOON, running.drain()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let last = timeout(SOON, caller.recv_from(&mut buffer)).await.unwrap().unwrap().0;
    assert!(buffer[..last].starts_with(b"SIP/2.0 503"), "{}", String::from_utf8_lossy(&buffer[..last]));
    running.stop().await;

    let idle = started(&yaml(any(), any(), &[silent.local_addr().unwrap()])).await.unwrap();
    let began = std::time::Instant::now();
    idle.drain().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    idle.stop().await;
}

/// A destination that answers probes and refuses every call.
async fn sick() -> SocketAddr {
    answering(|request| if request.starts_with("OPTIONS") { "200 OK" } else { "500 Broken" }).await
}

/// Worker 0 alone ejects; these calls belong to the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_worker_ejects() {
    let (sick, well) = (sick().await, destination().await);
    let running = started(&yaml(any(), any(), &[sick, well])).await.unwrap();
    let sip = address(&running, Transport::Udp);
    let caller = UdpSocket::bind(any()).await.unwrap();
    let from = caller.local_addr().unwrap();
    let is_of_second = |request: &String| crate::proxy::owner(request.as_bytes(), 2) == Some(WorkerId(1));
    let mut calls = (0..).map(|number| invite(number, "UDP", from)).filter(is_of_second);
    let mut buffer = vec![0; 65_535];
    let state =
        format!("sipwarden_destination_state{{set=\"pbx\",destination=\"{sick}\",state=\"ejected\"}}");
    let ejected = async {
        while value(&metrics(&running).await, &state) == 0 {
            caller.send_to(calls.next().unwrap().as_bytes(), sip).await.unwrap();
            loop {
                let (length, _) = caller.recv_from(&mut buffer).await.unwrap();
                if buffer[..length].starts_with(b"SIP/2.0 200") {
                    break;
                }
            }
        }
    };
    timeout(SOON, ejected).await.expect("it is ejected");
    let text = metrics(&running).await;
    let of_sick = format!("set=\"pbx\",destination=\"{sick}\"");
    assert_eq!(value(&text, &format!("sipwarden_destination_ejected{{{of_sick}}}")), 1);
    assert_eq!(value(&text, &format!("sipwarden_destination_up{{{of_sick}}}")), 0);
    let reason =
        format!("sipwarden_destination_transitions_total{{{of_sick},to=\"ejected\",reason=\"passive\"}}");
    assert_eq!(value(&text, &reason), 1);
    assert_eq!(value(&text, "sipwarden_evidence_dropped_total"), 0);
    running.stop().await;
}

/// A destination over TCP that answers every request with 200, and how many connections it has had.
async fn tcp_destination() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(any()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut text = String::new();
                let mut buffer = vec![0; 65_535];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    text += &String::from_utf8_lossy(&buffer[..length]);
                    while let Some((request, rest)) = text.split_once("\r\n\r\n") {
                        let answer = (!request.starts_with("ACK")).then(|| ok(request));
                        text = rest.to_owned();
                        if let Some(answer) = answer {
                            stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                }
            });
        }
    });
    (address, accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_the_calls_of_all_workers_share_one_connection() {
    let (destination, accepted) = tcp_destination().await;
    let text = yaml(any(), any(), &[destination])
        .replace(&format!("sip:{destination}"), &format!("sip:{destination};transport=tcp"));
    let text = text.replace("{pbx: {", "{pbx: {probe: {interval: 100ms, timeout: 50ms}, ");
    let running = started(&text).await.unwrap();
    let sip = address(&running, Transport::Udp);
    let caller = UdpSocket::bind(any()).await.unwrap();
    let mut buffer = vec![0; 65_535];
    for number in 0..8 {
        caller.send_to(invite(number, "UDP", caller.local_addr().unwrap()).as_bytes(), sip).await.unwrap();
        loop {
            let (length, _) = timeout(SOON, caller.recv_from(&mut buffer)).await.unwrap().unwrap();
            if buffer[..length].starts_with(b"SIP/2.0 200") {
                break;
            }
        }
    }
    let probes =
        format!("sipwarden_probes_total{{set=\"pbx\",destination=\"{destination}-tcp\",result=\"success\"}}");
    let probed = async {
        while value(&metrics(&running).await, &probes) < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, probed).await.expect("it is probed");
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_fails_a_probe_at_once() {
    let listener = TcpListener::bind(any()).await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let text = yaml(any(), any(), &[nobody])
        .replace(&format!("sip:{nobody}"), &format!("sip:{nobody};transport=tcp"));
    // Longer than the test waits: it is not the time-out that tells.
    let text = text.replace("{pbx: {", "{pbx: {probe: {interval: 60s, timeout: 30s}, ");
    let running = started(&text).await.unwrap();
    let failed = format!(
        "sipwarden_probes_total{{set=\"pbx\",destination=\"{nobody}-tcp\",result=\"transport_error\"}}"
    );
    let probed = async {
        while value(&metrics(&running).await, &failed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, probed).await.expect("the probe has failed");
    assert!(metrics(&running).await.contains("sipwarden_set_all_down{set=\"pbx\"} 1"));
    running.stop().await;
}
