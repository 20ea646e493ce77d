"""A callee over UDP with moods, for the pictures: it answers probes and calls, refuses, or is silent.

Commands come as lines on standard input: `well`, `refusing` (503), `silent`.
"""
import asyncio
import random
import sys


class Callee(asyncio.DatagramProtocol):
    def __init__(self, name, delay):
        self.name, self.delay, self.mood = name, delay, "well"

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        if self.mood == "silent":
            return
        head = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method = head[0].split(" ")[0]
        if method == "ACK" or method.startswith("SIP/"):
            return
        pause = self.delay * random.lognormvariate(0, 0.5)
        if method != "INVITE":
            self.later(pause, head, "200 OK", peer)
        elif self.mood == "refusing":
            self.later(pause, head, "503 Service Unavailable", peer)
        else:
            self.later(pause, head, "180 Ringing", peer)
            final = "486 Busy Here" if random.random() < 0.04 else "200 OK"
            self.later(pause + 0.4 + random.random(), head, final, peer)

    def later(self, pause, head, status, peer):
        asyncio.get_running_loop().call_later(pause, self.answer, head, status, peer)

    def answer(self, head, status, peer):
        kept = ("via", "v", "from", "f", "call-id", "i", "cseq", "record-route")
        lines = [f"SIP/2.0 {status}"]
        for line in head[1:]:
            name = line.split(":")[0].strip().lower()
            if name in kept:
                lines.append(line)
            elif name in ("to", "t"):
                lines.append(line if ";tag=" in line else f"{line};tag={self.name}")
        host, port = self.transport.get_extra_info("sockname")
        lines += [f"Contact: <sip:callee@{host}:{port}>", "Content-Length: 0", "", ""]
        self.transport.sendto("\r\n".join(lines).encode("latin-1"), peer)


async def main(name, host, port, delay):
    loop = asyncio.get_running_loop()
    _, callee = await loop.create_datagram_endpoint(
        lambda: Callee(name, float(delay)), local_addr=(host, int(port)))
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        callee.mood = line.strip()


asyncio.run(main(*sys.argv[1:5]))
