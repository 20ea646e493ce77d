#!/usr/bin/env bash
# start-time.sh [BINARY [DESTINATIONS [RUNS]]]
# How long a sipwarden with many destinations takes from exec to a bound SIP socket, and `check`
# of the same file; prints the least, the middle and the most of the runs in milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-${CARGO_TARGET_DIR:-target}/release/sipwarden}
count=${2:-1000}
runs=${3:-9}
[ -x "$binary" ] || { echo "start-time.sh: no binary at $binary" >&2; exit 1; }

work=$(mktemp -d)
pid=
cleanup() {
  [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# An address of this run's own, so that no port can be taken.
host=127.$((RANDOM % 100 + 100)).$((RANDOM % 250 + 1)).1
sip=15060
{
  echo "listen: [udp://$host:$sip, tcp://$host:$sip]"
  echo "http: {listen: \"$host:19360\"}"
  printf 'sets:\n  many:\n    destinations:\n'
  for ((i = 0; i < count; i++)); do
    echo "      - {id: d$i, uri: \"sip:127.0.$((i / 250 + 1)).$((i % 250 + 1)):5999\"}"
  done
} >"$work/many.yaml"

IFS=. read -r a b c d <<<"$host"
bound=$(printf '%02X%02X%02X%02X:%04X' "$d" "$c" "$b" "$a" "$sip")

milliseconds() { awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'; }
summary() { # WHAT MICROSECONDS…
  local what=$1 sorted
  shift
  mapfile -t sorted < <(printf '%s\n' "$@" | sort -n)
  echo "$what: $(milliseconds "${sorted[0]}") ms least, $(milliseconds "${sorted[${#sorted[@]} / 2]}") ms middle, $(milliseconds "${sorted[-1]}") ms most of ${#sorted[@]} runs"
}

starts=()
checks=()
for ((run = 0; run < runs; run++)); do
  begin=${EPOCHREALTIME/./}
  "$binary" run -c "$work/many.yaml" >"$work/log" 2>&1 &
  pid=$!
  until [[ $(</proc/net/udp) == *"$bound"* ]]; do
    if ! kill -0 "$pid" 2>/dev/null || ((${EPOCHREALTIME/./} - begin > 10000000)); then
      echo "start-time.sh: it does not listen:" >&2
      tail -n 20 "$work/log" >&2
      exit 1
    fi
  done
  starts+=($((${EPOCHREALTIME/./} - begin)))
  kill -9 "$pid"
  wait "$pid" 2>/dev/null || true
  pid=
  begin=${EPOCHREALTIME/./}
  "$binary" check -c "$work/many.yaml" >/dev/null
  checks+=($((${EPOCHREALTIME/./} - begin)))
done
summary "$count destinations, from exec to listening" "${starts[@]}"
summary "$count destinations, check" "${checks[@]}"
