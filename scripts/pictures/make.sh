#!/usr/bin/env bash
# Makes the pictures in docs/pictures again: ten minutes of real calls through the real binary under a
# real Prometheus, whose answers to the panels' own queries are drawn with the titles, units, colours,
# mappings and places of dashboards/*.json. It is not Grafana that draws, but scripts/pictures/draw.py.
#   scripts/pictures/make.sh [MINUTES]
# Needs Prometheus, SIPp, Python 3, rsvg-convert (librsvg2-bin), pngquant and the font Inter.
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in prometheus sipp python3 rsvg-convert pngquant; do
  command -v "$program" >/dev/null || { echo "$program is missing; see the head of $0"; exit 1; }
done
fc-list | grep -q Inter || echo "the font Inter (fonts-inter) is missing: another one takes its place"
cargo build --release --locked
binary=$(realpath "${CARGO_TARGET_DIR:-target}/release/sipwarden")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 scripts/pictures/story.py "$binary" "$work" "${1:-10}"
mkdir -p docs/pictures
for picture in "$work"/*.png; do
  pngquant --force --strip --quality 70-95 --output "docs/pictures/$(basename "$picture")" "$picture"
done
ls -l docs/pictures
