#!/usr/bin/env python3
"""How long answers wait while a file of 10,000 destinations is loaded again.

reload-pause.py BINARY [RELOADS]: starts the binary with one worker, sends it an OPTIONS every half
millisecond, has it reload again and again with every tenth weight changed, and prints for each
reload how long it took and the longest wait for an answer around it. Asserts nothing.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SETS, MEMBERS = 100, 100
SIP, HTTP = 6560, 6561
PAUSE = 0.0005


def configuration(changed):
    lines = [f"listen: [udp://127.0.0.1:{SIP}]", f"http: {{listen: 127.0.0.1:{HTTP}}}", "workers: 1"]
    lines += ["routes: [{set: set-0}]", "sets:"]
    for number in range(SETS):
        lines.append(f"  set-{number}:\n    probe: {{enabled: false}}\n    destinations:")
        for member in range(MEMBERS):
            weight = 2 if changed and member % 10 == 0 else 1
            lines.append(f'      - {{id: d{member}, uri: "sip:127.1.{number}.{member}", weight: {weight}}}')
    return "\n".join(lines) + "\n"


class Asker(threading.Thread):
    """Asks and waits for the answer, one question at a time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(2)
        self.waits, self.ended = [], False

    def run(self):
        port, number = self.socket.getsockname()[1], 0
        while not self.ended:
            number += 1
            question = (
                f"OPTIONS sip:127.0.0.1:{SIP} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number};rport\r\n"
                f"From: <sip:asker@127.0.0.1>;tag={number}\r\nTo: <sip:127.0.0.1:{SIP}>\r\n"
                f"Call-ID: asker-{number}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
            begun = time.monotonic()
            self.socket.sendto(question.encode(), ("127.0.0.1", SIP))
            try:
                self.socket.recv(4096)
            except TimeoutError:
                pass  # The wait counts all the same.
            self.waits.append((begun, 1000 * (time.monotonic() - begun)))
            time.sleep(PAUSE)

    def longest(self, since):
        """Of the questions asked since then, once one that is asked from here on is answered."""
        now = time.monotonic()
        while not self.waits or self.waits[-1][0] < now:
            time.sleep(PAUSE)
        return max(wait for begun, wait in self.waits if begun >= since)


def reload(file, changed):
    """Takes another configuration; how long that took in milliseconds, None if the file was seen before."""
    text = file.with_suffix(".new")
    text.write_text(configuration(changed))
    text.replace(file)
    request = urllib.request.Request(f"http://127.0.0.1:{HTTP}/-/reload", method="POST")
    begun = time.monotonic()
    report = json.load(urllib.request.urlopen(request))
    return 1000 * (time.monotonic() - begun) if report["changed"] else None


def main():
    binary, reloads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory, "config.yaml")
        file.write_text(configuration(False))
        process = subprocess.Popen([binary, "run", "--config", file], stderr=subprocess.DEVNULL)
        try:
            time.sleep(3)
            asker = Asker()
            asker.start()
            begun = time.monotonic()
            time.sleep(10)
            print(f"without reloads: the longest of {len(asker.waits)} answers took {asker.longest(begun):.1f} ms")
            waits, times = [], []
            for number in range(reloads):
                begun = time.monotonic()
                took = reload(file, number % 2 == 0)
                time.sleep(0.1)
                waits.append(asker.longest(begun))
                if took is not None:
                    times.append(took)
                    print(f"reload {number + 1}: {took:.0f} ms, the longest answer {waits[-1]:.1f} ms")
                time.sleep(0.4)
            asker.ended = True
            asker.join()
        finally:
            process.terminate()
            process.wait()
    waits.sort()
    times.sort()
    print(
        f"{reloads} reloads of {SETS * MEMBERS} destinations: {times[len(times) // 2]:.0f} ms "
        f"({times[0]:.0f}-{times[-1]:.0f}); longest answers {waits[len(waits) // 2]:.1f} ms "
        f"({waits[0]:.1f}-{waits[-1]:.1f}), {sum(wait > 5 for wait in waits)} of them above 5 ms"
    )


main()
