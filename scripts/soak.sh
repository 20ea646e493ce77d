#!/usr/bin/env bash
# Calls for a long time, between SIPp callers and callees that are killed under them: the calls
# counted on a destination never exceed its limit, all counts come back to zero, memory is flat.
#
#   scripts/soak.sh [TIME]     TIME as in 5m or 2h; 30m by default
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/test-deps.sh --only sipp:sip-tester
SOAK=${1:-30m} exec cargo test --locked --test e2e_soak -- --nocapture
