#!/usr/bin/env bash
# Makes schema.json and units.txt again from Grafana's own packages; needs node 20, npm and a network.
#   tests/dashboards/grafana/make.sh [VERSION]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=${1:-13.2.3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/schema.mjs "$here"/units.cjs "$work"
cd "$work"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --legacy-peer-deps \
  "@grafana/schema@$version" "@grafana/data@$version" react@18 react-dom@18 typescript@5
node schema.mjs >"$here/schema.json"
node units.cjs >"$here/units.txt"
