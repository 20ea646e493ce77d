//! When a run may begin: the proxy answers, and its destinations are in use.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::contestants::Contestant;
use super::loads::Load;
use super::measure::{PATIENCE, Record, Rig};
use super::process::Process;

impl Rig<'_> {
    /// Waits for an answer to OPTIONS, then, if it probes first, until every destination is in use.
    pub(super) fn wait_until_ready(
        &self,
        contestant: &Contestant,
        load: &Load,
        proxy: &mut Process,
        generator: &mut Process,
        begin: Instant,
        record: &mut Record,
    ) -> Result<()> {
        if contestant.is_proxy() {
            let took = self.wait_for_options(proxy, begin)?;
            record.figures.insert("start_ms", took.as_secs_f64() * 1000.0);
        }
        if contestant.probes_at_start() {
            generator.expect("probed", PATIENCE).context("not every destination was probed")?;
            self.wait_for_available(load.destinations)?;
        }
        // Timers that a start sets off, and for those that do not answer OPTIONS the start itself.
        std::thread::sleep(Duration::from_millis(500));
        proxy.check()
    }

    fn wait_for_options(&self, proxy: &mut Process, begin: Instant) -> Result<Duration> {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let (us, target) = (socket.local_addr()?, self.place.proxy);
        let mut buffer = [0; 4096];
        for number in 0.. {
            if begin.elapsed() > PATIENCE {
                bail!("no answer to OPTIONS on {target}");
            }
            proxy.check()?;
            let request = format!(
                "OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {us};rport;branch=z9hG4bK-ready-{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:driver@{us}>;tag=ready\r\nTo: <sip:{target}>\r\n\
                 Call-ID: ready-{number}-{us}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            // Until the port is bound, an ICMP error comes back.
            if socket.send_to(request.as_bytes(), target).is_ok()
                && socket.recv(&mut buffer).is_ok_and(|length| buffer[..length].starts_with(b"SIP/2.0 2"))
            {
                return Ok(begin.elapsed());
            }
        }
        bail!("unreachable: the loop ends by returning")
    }

    /// Asks sipwarden how many destinations may take calls.
    fn wait_for_available(&self, wanted: u32) -> Result<()> {
        let (begin, line) =
            (Instant::now(), format!("\nsipwarden_set_destinations_available{{set=\"main\"}} {wanted}\n"));
        while begin.elapsed() < PATIENCE {
            let mut answer = String::new();
            let mut stream = TcpStream::connect(self.place.http)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            if answer.contains(&line) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("not all of {wanted} destinations are available")
    }
}
