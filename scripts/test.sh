#!/usr/bin/env bash
# Every test there is: brings what the tests need, then runs the Rust tests (unit, core, end to end
# against SIPp, Asterisk and Prometheus) and the tests of the alert rules. The last line counts them.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

./scripts/test-deps.sh

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --locked --no-fail-fast 2>&1 | tee "$output" || status=1

echo "── alert rules"
shopt -s extglob
promtool check rules alerts/!(*.example).yml || status=1
promtool test rules alerts/tests/*.yml || status=1
amtool check-config alerts/alertmanager.example.yml examples/asterisk/alertmanager.yml tests/containers/alertmanager.yml || status=1

awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$output"
exit "$status"
