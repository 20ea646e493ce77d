"""Plays ten minutes in the life of two sets, under the eyes of a Prometheus, and has them drawn.

    scripts/pictures/make.sh         # see there
"""
import json
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
HOST = "127.0.60.{}"
WARDEN, PROMETHEUS = HOST.format(1), HOST.format(2)
# Name, host, how long it takes to answer.
CALLEES = [("pbx-1", 11, 0.003), ("pbx-2", 12, 0.006), ("pbx-3", 13, 0.015),
           ("carrier-a", 21, 0.03), ("carrier-b", 22, 0.05)]
CONFIG = """
listen: ["udp://{warden}:5060"]
http: {{listen: "{warden}:9360"}}
workers: 2
sets:
  pbx:
    algorithm: weighted_round_robin
    destinations:
      - {{id: pbx-1, uri: "sip:127.0.60.11:5060", weight: 2, max_calls: 100}}
      - {{id: pbx-2, uri: "sip:127.0.60.12:5060", weight: 2, max_calls: 100}}
      - {{id: pbx-3, uri: "sip:127.0.60.13:5060", weight: 1, max_calls: 60}}
    probe: {{interval: 2s, timeout: 1s, fast_interval: 1s}}
    failover: {{no_response_after: 500ms}}
    passive: {{base_ejection: 20s}}
  carrier:
    algorithm: priority
    objective: 0.99
    destinations:
      - {{id: carrier-a, uri: "sip:127.0.60.21:5060"}}
      - {{id: carrier-b, uri: "sip:127.0.60.22:5060", priority: 1}}
    probe: {{interval: 5s, timeout: 1s}}
routes:
  - {{ruri_user: "^00", set: carrier}}
  - {{set: pbx}}
tracing: {{otlp: "http://{warden}:4318", protocol: http, ratio: 0.05{more}}}
"""
SCRAPE = """
global: {{scrape_interval: 2s, evaluation_interval: 2s}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: sipwarden
    static_configs: [{{targets: ["{warden}:9360"]}}]
    relabel_configs: [{{target_label: instance, replacement: "sip-1:9360"}}]
"""


class Story:
    def __init__(self, work, minutes):
        self.work, self.pace, self.running = work, minutes / 10, []
        self.start = time.time()

    def run(self, name, *command, stdin=subprocess.DEVNULL):
        log = open(self.work / f"{name}.log", "ab")
        process = subprocess.Popen(list(map(str, command)), stdin=stdin, stdout=log, stderr=log, cwd=self.work)
        self.running.append(process)
        return process

    def callee(self, name, host, delay):
        return self.run(name, sys.executable, HERE / "callee.py", name, HOST.format(host), 5060, delay,
                        stdin=subprocess.PIPE)

    def at(self, minute, what):
        due = self.start + minute * 60 * self.pace
        time.sleep(max(0, due - time.time()))
        print(f"{minute:5.1f} min: {what}", flush=True)

    def mood(self, name, mood):
        self.callees[name].stdin.write(f"{mood}\n".encode())
        self.callees[name].stdin.flush()

    def begin(self, binary):
        self.config = self.work / "sipwarden.yaml"
        self.config.write_text(CONFIG.format(warden=WARDEN, more=""))
        rules = self.work / "rules"
        rules.mkdir()
        for file in (ROOT / "alerts").glob("*.yml"):
            if not file.name.startswith("alertmanager"):
                shutil.copy(file, rules)
        (self.work / "prometheus.yml").write_text(SCRAPE.format(warden=WARDEN, rules=rules))
        self.callees = {name: self.callee(name, host, delay) for name, host, delay in CALLEES}
        self.run("collector", sys.executable, HERE / "collector.py", WARDEN, 4318)
        self.warden = self.run("sipwarden", binary, "run", "-c", self.config)
        self.run("prometheus", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                 f"--web.listen-address={PROMETHEUS}:9090", "--enable-feature=exemplar-storage")
        self.start = time.time()
        self.run("phones", sys.executable, HERE / "phones.py", WARDEN, HOST.format(33))
        for name, user, rate, host in [("callers", "100", 12, 31), ("long-distance", "0049", 4, 32)]:
            self.run(name, "sipp", f"{WARDEN}:5060", "-sf", ROOT / "tests/sipp/caller.xml", "-i", HOST.format(host),
                     "-p", 5060, "-s", user, "-r", rate, "-d", 4000, "-m", 1000000, "-nostdin",
                     "-recv_timeout", 8000)

    def tell(self, binary, *command):
        subprocess.run([binary, *command, "--url", f"http://{WARDEN}:9360"], check=True, stdout=subprocess.DEVNULL)

    def play(self, binary):
        self.begin(binary)
        self.at(1.6, "pbx-3 refuses calls with 503, and answers probes")
        self.mood("pbx-3", "refusing")
        self.at(2.6, "pbx-3 is well again")
        self.mood("pbx-3", "well")
        self.at(3.4, "carrier-a goes silent")
        self.mood("carrier-a", "silent")
        self.at(4.4, "carrier-a is back")
        self.mood("carrier-a", "well")
        self.at(5.0, "every pbx is silent")
        for name in ("pbx-1", "pbx-2", "pbx-3"):
            self.mood(name, "silent")
        self.at(5.8, "every pbx is back")
        for name in ("pbx-1", "pbx-2", "pbx-3"):
            self.mood(name, "well")
        self.at(6.6, "pbx-1 is drained, and a changed file applied")
        self.tell(binary, "set-state", "pbx", "pbx-1", "draining")
        self.config.write_text(CONFIG.format(warden=WARDEN, more=", slow: 3s"))
        self.at(7.4, "pbx-1 is enabled")
        self.tell(binary, "set-state", "pbx", "pbx-1", "enabled")
        self.at(8.2, "pbx-2 is gone")
        self.mood("pbx-2", "silent")
        self.at(10, "that is all")

    def end(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def main(binary, work, minutes="10"):
    work = pathlib.Path(work)
    story = Story(work, float(minutes))
    try:
        story.play(binary)
        end = time.time()
        (work / "story.json").write_text(json.dumps({"start": story.start + 20, "end": end - 2}))
        subprocess.run([sys.executable, HERE / "draw.py", f"http://{PROMETHEUS}:9090", str(work)], check=True)
    finally:
        story.end()


main(*sys.argv[1:])
