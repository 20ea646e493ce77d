#!/usr/bin/env bash
# Brings what the tests need beside the Rust toolchain: SIPp, Kamailio, Prometheus and Alertmanager (as
# programs, not as services), ip and nft for network namespaces, and Asterisk in a Debian chroot. As root
# on Debian it installs what is missing; elsewhere it says what is missing and how to get it, and exits 1.
#
#   --only COMMAND:PACKAGE…   bring these alone
#   E2E_PEERS=DIR             where the Asterisk chroot is kept (default: target/peers)
#   E2E_ASTERISK_SUITE=SUITE  take Asterisk from this Debian suite (see tests/peers/asterisk.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

# command it is found by : Debian package
needs=(
  cargo:rustup
  cc:gcc
  sipp:sip-tester
  kamailio:kamailio
  kamcmd:kamailio
  prometheus:prometheus
  promtool:prometheus
  amtool:prometheus-alertmanager
  prometheus-alertmanager:prometheus-alertmanager
  debootstrap:debootstrap
  ip:iproute2
  nft:nftables
)
only=no
if [ "${1-}" = --only ]; then
  shift
  only=yes
  needs=("$@")
fi

missing_packages() {
  local need command
  for need in "${needs[@]}"; do
    command=${need%%:*}
    command -v "$command" >/dev/null 2>&1 || echo "${need##*:}"
  done | sort -u
}

report_missing() {
  local need
  echo "These commands are needed, and they are not here:"
  for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null 2>&1 || echo "  ${need%%:*}  (Debian package ${need##*:})"
  done
  echo "$1"
} >&2

is_debian() { [ -r /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; }

# Debian starts a service when its package is installed; the tests start their own.
install_packages() {
  local policy=/usr/sbin/policy-rc.d log status=1 attempt service
  log=$(mktemp)
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  echo "installing: $*"
  # Another apt-get may hold a lock: what it locks besides dpkg's own database has no time-out.
  for attempt in 1 2 3 4 5; do
    if { [ "$attempt" = 1 ] && [ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ]; } \
      || apt-get -qq -o DPkg::Lock::Timeout=120 update >"$log" 2>&1; then
      if DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
        install --no-install-recommends "$@" >>"$log" 2>&1; then
        status=0
        break
      fi
    fi
    echo "apt-get did not succeed (attempt $attempt of 5)"
    sleep 10
  done
  if [ "$status" != 0 ]; then
    tail -n 30 "$log" >&2
  elif [ -d /run/systemd/system ]; then
    for service in prometheus prometheus-alertmanager kamailio; do
      if printf '%s\n' "$@" | grep -qx "$service"; then
        systemctl disable --quiet "$service" || true
      fi
    done
  fi
  rm -f "$log"
  return "$status"
}

if ! command -v cargo >/dev/null 2>&1; then
  report_missing "cargo comes with Rust: https://rustup.rs (the version is in rust-toolchain.toml)."
  exit 1
fi

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then
  how="On Debian: sudo apt-get install --no-install-recommends ${packages[*]}"
  if ! is_debian; then
    report_missing "This is not Debian: install what is listed from your system's packages. $how"
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    report_missing "$how  (or run this script as root)"
    exit 1
  fi
  if ! install_packages "${packages[@]}" || [ -n "$(missing_packages)" ]; then
    report_missing "apt-get could not install them; its last lines are above."
    exit 1
  fi
fi

[ "$only" = yes ] || tests/peers/asterisk.sh setup
