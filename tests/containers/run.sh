#!/usr/bin/env bash
# run.sh [BINARY]
# Brings the tour of compose.yaml up in real containers and sees it work: calls, failover, the alert
# at a webhook and its end, a container with another address, a scaled service, a drain.
# Root on Debian; installs podman and docker-compose. Ends and removes what it started.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/containers
binary=${1:-${CARGO_TARGET_DIR:-target}/release/sipwarden}
peers=${E2E_PEERS:-target/peers}
work=$(mktemp -d)
export CONTAINERS_CONF=$PWD/$here/containers.conf DOCKER_HOST=unix://$work/podman.sock
export COMPOSE_PROJECT_NAME=sipwarden-test
prefix=localhost/sipwarden-test
export SIPWARDEN_IMAGE=$prefix/sipwarden ASTERISK_IMAGE=$prefix/asterisk SIPP_IMAGE=$prefix/sipp
export PROMETHEUS_IMAGE=$prefix/prometheus ALERTMANAGER_IMAGE=$prefix/alertmanager
export SIP_PORT=15060 HTTP_PORT=19360 PROMETHEUS_PORT=19090 ALERTMANAGER_PORT=19093
jobs=()
compose() { docker-compose -f compose.yaml -f "$here/compose.test.yaml" "$@"; }

end() {
  local status=$?
  [ "$status" = 0 ] || compose logs --no-color --tail 30 sipwarden webhook 2>/dev/null | cut -c1-300 || true
  [ "$status" = 0 ] || curl -s "http://$(address prometheus):9090/api/v1/alerts" "http://$(address prometheus):9090/api/v1/targets" | cut -c1-1500 || true
  [ "$status" = 0 ] || compose logs --no-color --tail 15 prometheus alertmanager 2>/dev/null | cut -c1-250 || true
  compose down -t 1 --volumes --remove-orphans >/dev/null 2>&1 || true
  [ "${#jobs[@]}" = 0 ] || kill "${jobs[@]}" 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap end EXIT

fail() {
  echo "━━ containers: $*" >&2
  exit 1
}
begun=$SECONDS
said() { printf '%4d s  %s\n' $((SECONDS - begun)) "$*"; }
now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); }

# Tries COMMAND until it succeeds, for SECONDS at most.
await() { # SECONDS WHAT COMMAND…
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "not within the time allowed: $what"
    sleep 0.2
  done
}

container() {
  podman ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter "label=com.docker.compose.service=$1" | head -n 1
}
address() { podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(container "$1")"; }
metrics() { curl -sf --max-time 3 "http://$(address sipwarden):9360/metrics"; }
value() { metrics | awk -v series="$1" 'index($0, series) == 1 { sum += $NF; found = 1 } END { if (!found) exit 1; print sum }'; }
is() { [ "$(value "$1")" = "$2" ]; }
above() { [ "$(value "$1")" -gt "$2" ]; }
healthy() { [ "$(podman inspect --format '{{.State.Health.Status}}' "$(container sipwarden)")" = healthy ]; }
alerted() { podman logs "$(container webhook)" 2>/dev/null | grep "\"status\":\"$1\"" | grep '"set":"pbx"' | grep -q "\"alertname\":\"$2\""; }

# Calls through sipwarden, all of which must succeed.
calls() { # COUNT RATE NUMBER [SCENARIO]
  timeout 60 podman run --rm --network "${COMPOSE_PROJECT_NAME}_sip" \
    -v "$PWD/${4:-examples/asterisk/caller.xml}:/caller.xml:ro" \
    "$SIPP_IMAGE" sipp sipwarden:5060 -sf /caller.xml -s "$3" -m "$1" -r "$2" -d 300 -l 50 -nostdin \
    >"$work/sipp.log" 2>&1 || {
    tail -n 30 "$work/sipp.log" | cut -c1-160 >&2
    fail "of $1 calls to $3 not all succeeded"
  }
}

scripts/test-deps.sh --only podman:podman runc:runc docker-compose:docker-compose iptables:iptables curl:curl sipp:sip-tester \
  prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager
[ -e /usr/lib/podman/netavark ] && [ -e /usr/lib/podman/aardvark-dns ] ||
  scripts/test-deps.sh --only netavark:netavark aardvark-dns:aardvark-dns || true
[ -x "$binary" ] || fail "$binary is not there: cargo build --release"
[ -f "$peers/asterisk/.ready" ] || tests/peers/asterisk.sh setup
[ "$binary" = target/release/sipwarden ] || install -D "$binary" target/release/sipwarden
[ -n "${KEEP_IMAGES-}" ] || "$here/images.sh" "$binary" "$peers/asterisk"
said "images are made"

podman system service --time=0 "unix://$work/podman.sock" >"$work/podman.log" 2>&1 &
jobs+=($!)
# Podman leaves health checks to systemd, which may not be here.
(while sleep 0.5; do podman healthcheck run "$(container sipwarden)" || true; done >/dev/null 2>&1) &
jobs+=($!)
await 10 "podman serves" test -S "$work/podman.sock"
for file in compose.yaml examples/*/compose.yaml; do
  docker-compose -f "$file" config --quiet || fail "$file is not valid"
done

up=$(now)
compose up -d --no-build sipwarden ast1 ast2 prometheus alertmanager webhook >"$work/up.log" 2>&1 ||
  { cat "$work/up.log" >&2; fail "docker-compose up"; }
await 30 "both Asterisks are up" is 'sipwarden_destination_up{set="pbx"' 2
calls 1 1 100
first=$(since "$up")
await 30 "sipwarden is healthy" healthy
said "first successful call ${first} ms after up, healthy within $(since "$up") ms"
capabilities=$(podman exec "$(container ast1)" true; grep -h CapEff "/proc/$(podman inspect --format '{{.State.Pid}}' "$(container sipwarden)")/status")
rss=$(awk '/VmRSS/ { print $2 }' "/proc/$(podman inspect --format '{{.State.Pid}}' "$(container sipwarden)")/status")
said "sipwarden: $capabilities, uid $(stat -c %u "/proc/$(podman inspect --format '{{.State.Pid}}' "$(container sipwarden)")"), RSS $rss KiB"

calls 40 20 100
said "40 calls answered"

# It hangs first, just after a probe, so that calls meet it before the next.
probes=$(value 'sipwarden_probes_total{set="pbx",destination="asterisk-1"')
await 20 "the next probe of asterisk-1" above 'sipwarden_probes_total{set="pbx",destination="asterisk-1"' "$probes"
kill -STOP "$(podman inspect --format '{{.State.Pid}}' "$(container ast1)")"
calls 40 20 100
compose kill ast1 >/dev/null 2>&1
await 20 "asterisk-1 is down" is 'sipwarden_destination_up{set="pbx",destination="asterisk-1"' 0
above sipwarden_failovers_total 0 || fail "no failover was counted"
said "ast1 hung and stopped: 40 calls answered, $(value sipwarden_failovers_total) failed over, asterisk-1 is down"

stopped=$(now)
compose stop -t 1 ast2 >/dev/null 2>&1
await 20 "the set is down" is 'sipwarden_set_all_down{set="pbx"' 1
await 75 "SipwardenAllDestinationsDown reaches the webhook" alerted firing SipwardenAllDestinationsDown
said "ast2 stopped: the alert came after $(since "$stopped") ms"

compose start ast1 ast2 >/dev/null 2>&1
await 60 "both are up again" is 'sipwarden_destination_up{set="pbx"' 2
await 60 "the alert is resolved at the webhook" alerted resolved SipwardenAllDestinationsDown
calls 20 20 100
said "started again: resolved, 20 calls answered"

before=$(address ast1)
compose rm -sf ast1 >/dev/null 2>&1
# Takes the address that has become free, so that the new container gets another one.
compose up -d --no-build pool >/dev/null 2>&1
compose up -d --no-build ast1 >/dev/null 2>&1
after=$(address ast1)
[ "$before" != "$after" ] || fail "the new container has the old address $before"
await 30 "asterisk-1 is up at its new address" is 'sipwarden_destination_up{set="pbx",destination="asterisk-1"' 1
calls 20 20 100
said "ast1 made anew at $after instead of $before: 20 calls answered"

await 30 "the pool is up" is 'sipwarden_set_destinations_available{set="pool"' 1
compose up -d --no-build --scale pool=3 pool >/dev/null 2>&1
await 30 "the scaled pool has three destinations" is 'sipwarden_set_destinations_available{set="pool"' 3
calls 30 20 800
said "pool scaled to 3: $(metrics | grep -c '^sipwarden_destination_up{set="pool"') endpoints, 30 calls answered"

# Calls that ring for four seconds are being set up when the container is told to stop.
calls 5 20 slow "$here/answered.xml" &
ringing=$!
await 20 "five calls ring" is 'sipwarden_transactions_in_flight{role="server",method="INVITE"}' 5
begin=$(now)
compose stop sipwarden >/dev/null 2>&1
said "sipwarden stopped after $(since "$begin") ms"
wait "$ringing" || fail "a call that was being set up did not survive the drain"
said "five calls that were ringing when it was stopped were answered"
said "all of it was seen"
