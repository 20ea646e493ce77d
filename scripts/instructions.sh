#!/usr/bin/env bash
# instructions.sh [--bless | --workers N]
# Counts the instructions of one call with valgrind and compares them with benches/instructions.txt:
#
#   core      a core in memory with its telemetry; the parties around it are not counted
#   failover  the same, for a call that its first destination refuses
#   udp       the whole process with one worker, over loopback; the kernel is not counted
#   traced    the same, with the spans of every call exported over HTTP
#   scrape    a scrape of 1,000 destinations at metrics.detail auto, in memory, instead of a call
#
# Each is played at two lengths and the difference is divided by the calls between them, so that
# start and end cancel out. More than 3 % above the baseline is a failure; --bless writes a new
# baseline; --workers N only prints what a call over UDP takes with N workers, of all threads.
set -euo pipefail
cd "$(dirname "$0")/.."
baseline=benches/instructions.txt
tolerance=3
machine=$(uname -m)
# In memory 64·T1 is 3,200 calls: from there on as many finished transactions end as begin.
core_calls=(4000 8000)
failover_calls=("${core_calls[@]}")
# Few enough that no timer of theirs runs out meanwhile, which the run checks.
udp_calls=(100 500)
traced_calls=(100 500)
scrape_calls=(2 6)

fail() {
  echo "instructions.sh: $*" >&2
  exit 1
}

mode=compare workers=1
case "${1-}" in
"") ;;
--bless) mode=bless ;;
--workers)
  mode=show
  workers=${2:?--workers needs a number}
  ;;
*) fail "unknown argument $1 (instructions.sh [--bless | --workers N])" ;;
esac

./scripts/test-deps.sh --only valgrind:valgrind

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=$(cargo build --release --locked --quiet --bench instructions --message-format=json |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$program" ] || fail "cargo named no program"

# Whatever valgrind counts; its own words are shown if it fails.
counted() { sed -n 's/^\(summary\|totals\): *//p' "$1" | tail -n 1; }
# Set already, so that the process does not start itself again (src/cli/allocator.rs) away from valgrind.
export MALLOC_MMAP_THRESHOLD_=8192
profile=(valgrind --tool=callgrind "--callgrind-out-file=$work/out")

core() { in_memory core "$1" '*'; }
failover() { in_memory failover "$1" '*'; }
scrape() { in_memory scrape "$1" 'scrape*'; }

in_memory() { # NAME COUNT FUNCTIONS
  "${profile[@]}" --collect-atstart=no "--toggle-collect=*instructions::rig::product::$3" \
    "$program" "$1" "$2" >"$work/log" 2>&1 || fail "the run in memory failed: $(tail -n 20 "$work/log")"
  counted "$work/out"
}

udp() { over_loopback udp "$1"; }
traced() { over_loopback traced "$1"; }

over_loopback() { # NAME CALLS
  local attempt
  for attempt in 1 2 3 4 5; do
    if "$program" "$1" "$2" "$workers" "${profile[@]}" >"$work/log" 2>&1; then
      counted "$work/out"
      return
    fi
    echo "the run over UDP failed (attempt $attempt of 5): $(grep -A 1 panicked "$work/log" | tail -n 1)" >&2
  done
  fail "no run over UDP succeeded; the last one said: $(tail -n 20 "$work/log")"
}

per_call() { # NAME FEW MANY
  local few many
  few=$("$1" "$2") && many=$("$1" "$3") || return 1
  # Nothing counted means that the functions to count were not found.
  [ "${many:-0}" -gt "${few:-0}" ] || fail "$1: counted ${few:-nothing} and ${many:-nothing}"
  echo $(((many - few) / ($3 - $2)))
}

if [ "$mode" = show ]; then
  count=$(per_call udp "${udp_calls[@]}")
  echo "udp: $count instructions per call with $workers workers"
  exit
fi

status=0
lines=()
declare -A counts
for name in core failover udp traced scrape; do
  calls="${name}_calls[@]"
  count=$(per_call "$name" "${!calls}")
  lines+=("$machine $name $count")
  counts[$name]=$count
  was=$(awk -v machine="$machine" -v name="$name" '$1 == machine && $2 == name { print $3 }' "$baseline")
  if [ "$mode" = bless ]; then
    echo "$name: $count instructions${was:+, $was before}"
    continue
  elif [ -z "$was" ]; then
    echo "$name: $count instructions, but $baseline has no line for $machine: run ./scripts/instructions.sh --bless"
    status=1
    continue
  fi
  change=$(awk -v count="$count" -v was="$was" 'BEGIN { printf "%+.2f", (count / was - 1) * 100 }')
  echo "$name: $count instructions, $change % of the baseline's $was"
  if [ $((count * 100)) -gt $((was * (100 + tolerance))) ]; then
    echo "$name: it has become more than $tolerance % dearer. Make it cheaper; or, if it is worth it, say why in the commit and run ./scripts/instructions.sh --bless"
    status=1
  elif [ $((count * 100)) -lt $((was * (100 - tolerance))) ]; then
    echo "$name: it has become more than $tolerance % cheaper. Run ./scripts/instructions.sh --bless, so that it stays so"
  fi
done

# Spans of every call may cost a tenth of its CPU time, of which the kernel has more than half.
if [ $((counts[traced] * 100)) -gt $((counts[udp] * 112)) ]; then
  echo "traced: spans of every call cost more than 12 % of its instructions outside the kernel"
  status=1
fi

if [ "$mode" = bless ]; then
  others=$(grep -v -e '^#' -e "^$machine " "$baseline" || true)
  {
    echo "# Instructions per call, written by ./scripts/instructions.sh --bless"
    printf '%s\n' ${others:+"$others"} "${lines[@]}"
  } >"$work/baseline"
  cp "$work/baseline" "$baseline"
fi
exit "$status"
