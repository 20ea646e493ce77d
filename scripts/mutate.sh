#!/usr/bin/env bash
# Shows that the simulator can fail: applies each mutation of tests/mutations to a copy of the tree,
# one at a time, and says which tests notice. The working tree is never touched.
#
#   scripts/mutate.sh [NAME…]     the mutations to try; all of them by default
#
# A mutation that neither simulation nor flows can notice names the test that does, in a line of its
# patch: "Test: --lib NAME" or "Test: --test FILE NAME".
#
# The copy and its build live in target/mutations and are used again by the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${MUTATE_DIR:-target/mutations}
tree=$base/tree
mkdir -p "$tree"
base=$(cd "$base" && pwd)
tree=$base/tree
export CARGO_TARGET_DIR=$base/target CARGO_TERM_COLOR=never RUST_BACKTRACE=0
if [ ! -d "$CARGO_TARGET_DIR" ] && [ -d target/debug ]; then
  # Dependencies that are built already need not be built again.
  mkdir -p "$CARGO_TARGET_DIR"
  cp -a target/debug "$CARGO_TARGET_DIR/debug"
fi

# Copies what differs, so that cargo builds no more than it must; without the program, which would
# be linked anew for every mutation.
git ls-files -co --exclude-standard | while read -r file; do
  [ -f "$file" ] || continue
  case $file in
  src/main.rs) continue ;;
  Cargo.toml) content=$(sed '/^\[\[bin\]\]$/,/^$/d' "$file") ;;
  *)
    cmp -s "$file" "$tree/$file" || install -D -m 644 "$file" "$tree/$file"
    continue
    ;;
  esac
  [ "$content" = "$(cat "$tree/$file" 2>/dev/null)" ] || printf '%s\n' "$content" >"$tree/$file"
done
rm -f "$tree/src/main.rs"

tests() { # ARGUMENTS OF CARGO TEST: whether they pass; what they said is in $log
  (cd "$tree" && timeout 600 cargo test --locked --no-fail-fast "$@") >"$log" 2>&1
}
both=(--test simulation --test flows)

verdict() { # PROGRAM: what it said of the mutation
  awk -v program="tests/$1.rs" '
    /Running tests\// { here = index($0, program) > 0 }
    here && /^test result: FAILED/ { verdict = "caught" }
    here && /^test result: ok/ { verdict = "missed" }
    END { print verdict == "" ? "caught (no end)" : verdict }' "$log"
}

log=$base/log
if ! tests "${both[@]}"; then
  tail -n 40 "$log"
  echo "the tests fail without any mutation"
  exit 1
fi

caught=0 missed=0
printf '%-28s %-16s %-16s %s\n' mutation simulation flows "what the simulator said"
for patch in tests/mutations/*.patch; do
  name=$(basename "$patch" .patch)
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  if ! patch --silent --no-backup-if-mismatch -d "$tree" -p1 <"$patch"; then
    echo "$name does not apply"
    exit 1
  fi
  read -ra named < <(sed -n 's/^Test: //p' "$patch") || true
  if [ ${#named[@]} -eq 0 ]; then
    tests "${both[@]}" && status=0 || status=$?
  else
    tests "${named[@]}" && status=0 || status=$?
    # A name that no test has would pass for a mutation that is caught, or missed, for ever.
    if ! grep -qE '^test result: .* [1-9][0-9]* (passed|failed)' "$log" && grep -q '^test result' "$log"; then
      echo "$name names no test: ${named[*]}"
      exit 1
    fi
  fi
  if ! grep -qE '^ +Running ' "$log"; then
    grep -m 3 -A 6 '^error' "$log" || true
    echo "$name does not build"
    exit 1
  fi
  if [ ${#named[@]} -gt 0 ]; then
    [ "$status" -ne 0 ] && said=caught || said=missed
    printf '%-28s %-16s %-16s %s\n' "$name" - - "$said by ${named[*]}"
  else
    said=$(sed -n 's/^\(seed [0-9]*: .*\)/\1/p' "$log" | head -n 1 | cut -c 1-90)
    printf '%-28s %-16s %-16s %s\n' "$name" "$(verdict simulation)" "$(verdict flows)" "$said"
  fi
  if [ "$status" -ne 0 ]; then caught=$((caught + 1)); else missed=$((missed + 1)); fi
  patch --silent --no-backup-if-mismatch -R -d "$tree" -p1 <"$patch"
done
echo "$caught caught, $missed missed"
[ "$missed" -eq 0 ]
