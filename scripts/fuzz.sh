#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET…]]
# Builds the targets of fuzz/ with the project's own toolchain (stable; no cargo-fuzz, no sanitizer)
# and runs each for SECONDS (60), FUZZ_JOBS (2) of them at a time. What is found fails, and is kept.
#
# The same corpus and FUZZ_SEED (1) try the same inputs in the same order: what fails here fails again.
#
# Beginnings come from the tests' own messages and configurations (fuzz/seeds.rs). Everything lies in
# target/fuzz: corpus/TARGET grows from run to run, log/TARGET has what libFuzzer said, found/ the
# inputs that break a promise.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
if [ $# -gt 0 ]; then shift; fi
targets=("$@")
[ $# -gt 0 ] || targets=(message stream config core)
jobs=${FUZZ_JOBS:-2}
target_dir=${CARGO_TARGET_DIR:-target}
mkdir -p "$target_dir/fuzz/log" "$target_dir/fuzz/found"
target_dir=$(cd "$target_dir" && pwd)
base=$target_dir/fuzz
programs=$target_dir/debug

if ! command -v c++ >/dev/null 2>&1; then
  how="libFuzzer is C++, and there is no C++ compiler here: apt-get install g++"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "fuzz.sh: $how" >&2
    exit 1
  fi
  echo "$how"
  apt-get -qq -o DPkg::Lock::Timeout=120 update
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
    install --no-install-recommends g++ >/dev/null
fi

begin=$SECONDS
# In the tests' own directory, so that what they have built already is used; only what is explored is
# built with optimization (see fuzz/Cargo.toml).
RUSTC_WRAPPER=$PWD/scripts/fuzz-rustc.sh \
  cargo build --locked --quiet --manifest-path fuzz/Cargo.toml --target-dir "$target_dir" --bins --example seeds
echo "built in $((SECONDS - begin)) s"
rm -rf "$base/seeds"
"$programs/examples/seeds" "$base/seeds"

longest() { # TARGET: bytes of an input at most
  case $1 in
  core) echo 400 ;;
  config) echo 4096 ;;
  *) echo 8192 ;;
  esac
}

run() { # TARGET
  local target=$1 dictionary=$base/seeds/$1.dict
  local options=(-seed="${FUZZ_SEED:-1}" -max_total_time="$seconds" -max_len="$(longest "$target")" -timeout=20 -rss_limit_mb=1024
    -print_final_stats=1 -artifact_prefix="$base/found/$target-")
  [ ! -f "$dictionary" ] || options+=(-dict="$dictionary")
  mkdir -p "$base/corpus/$target"
  "$programs/$target" "${options[@]}" "$base/corpus/$target" "$base/seeds/$target" >"$base/log/$target" 2>&1
}

declare -A names=()
failed=()
await() { # one of those that run
  local pid status=0
  wait -n -p pid "${!names[@]}" || status=$?
  [ "$status" = 0 ] || failed+=("${names[$pid]}")
  unset "names[$pid]"
}
trap '[ ${#names[@]} = 0 ] || kill "${!names[@]}" 2>/dev/null || true' EXIT
for target in "${targets[@]}"; do
  [ -x "$programs/$target" ] || { echo "fuzz.sh: no target $target" >&2; exit 1; }
  [ "${#names[@]}" -lt "$jobs" ] || await
  run "$target" &
  names[$!]=$target
done
while [ "${#names[@]}" -gt 0 ]; do await; done

printf '%-8s %12s %8s %8s %8s %8s\n' target executions per_s edges features inputs
for target in "${targets[@]}"; do
  awk -v target="$target" '
    { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::average_exec_per_sec/ { rate = $2 }
    END { split(corpus, inputs, "/"); printf "%-8s %12s %8s %8s %8s %8s\n", target, runs, rate, cov, ft, inputs[1] }' "$base/log/$target"
done
for target in "${failed[@]}"; do
  echo "━━ $target FAILED: $base/log/$target"
  grep -a -m 1 -A 3 'panicked at\|ERROR: libFuzzer' "$base/log/$target" || tail -n 20 "$base/log/$target"
  input=$(sed -n 's/.*Test unit written to //p' "$base/log/$target" | tail -n 1)
  if [ -n "$input" ]; then
    echo "replay: $programs/$target $input"
    if [ "$(wc -c <"$input")" -le 8192 ]; then
      echo "the input: base64 -d >INPUT <<<$(base64 -w 0 "$input")"
    fi
  fi
done
[ "${#failed[@]}" = 0 ]
