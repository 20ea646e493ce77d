#!/usr/bin/env bash
# images.sh BINARY ASTERISK_ROOT
# Makes every image of the test from what is on this machine, without a registry: a base with nothing
# but the libraries that the program needs, and images of programs of Debian packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$1 asterisk=$2
prefix=localhost/sipwarden-test

# The programs and the libraries that they are linked with.
closure() { # PROGRAM…
  local program
  for program in "$@"; do
    readlink -f "$program"
    ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true
  done | sort -u
}

# An image of files of this machine, each where it lies here; links are followed.
from_files() { # NAME FILE…
  local name=$1 root file
  shift
  root=$(mktemp -d)
  for file in "$@"; do
    install -D "$file" "$root/$file"
  done
  install -d "$root/etc" "$root/tmp" "$root/prometheus" "$root/alertmanager"
  tar -C "$root" -c . | podman import --quiet - "$prefix/$name" >/dev/null
  rm -rf "$root"
}

libraries() { closure "$@" | grep -v -F "$(readlink -f "$1")"; }

mapfile -t files < <(libraries "$binary")
from_files base "${files[@]}"
for pair in prometheus:prometheus alertmanager:prometheus-alertmanager sipp:sipp; do
  program=$(command -v "${pair#*:}")
  mapfile -t files < <(closure "$program")
  # Debian's Alertmanager does not start without its templates.
  [ "${pair%%:*}" != alertmanager ] || files+=(/usr/share/prometheus/alertmanager/*.tmpl)
  from_files "${pair%%:*}" "${files[@]}" "$program"
done
tar -C "$asterisk" --exclude=./proc/* --exclude=./dev/* --exclude=./sys/* --exclude=./srv/* -c . |
  podman import --quiet - "$prefix/asterisk" >/dev/null

podman build --quiet --format docker --pull=never --network none --runtime runc \
  --ulimit nofile=4096:4096 --ulimit nproc=2048:2048 \
  --build-arg BASE_IMAGE="$prefix/base" --build-arg BINARY=prebuilt --tag "$prefix/sipwarden" . >/dev/null
podman images --format '{{.Repository}} {{.Size}}' | grep "^$prefix/"
