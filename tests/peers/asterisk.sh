#!/usr/bin/env bash
# A real Asterisk as a SIP peer of the tests, in a Debian chroot of its own; on loopback or in a
# network namespace of the tests only.
#
#   asterisk.sh setup               make the chroot, once (needs root; about a minute)
#   asterisk.sh run NAME ADDR PORT  write the instance's configuration and become it (for a parent
#                                   that ends it by signal)
#   asterisk.sh cli NAME COMMAND…   ask a running instance
#
#   E2E_PEERS=DIR             where the chroot is kept (default: target/peers)
#   E2E_ASTERISK_SUITE=SUITE  the Debian suite to take Asterisk from, in a chroot of its own beside
#                             the default one; forky and sid have Asterisk 22, bullseye has 16
#
# Extensions: echo answers and plays back; busy is 486; ring rings and mute only tries until it is
# cancelled; soon rings for 0.3 s and answers; early has media before it answers; refresh answers,
# sends a re-INVITE with another codec and hangs up; talk is a bridge to echo, for transfers to
# tone, which rings and plays; any other number rings briefly, answers and hangs up after five
# minutes. desk1 to desk16 are phones that register, password secret, through a proxy that gives
# them a Path.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
peers=${E2E_PEERS:-$repo/target/peers}
only=${E2E_ASTERISK_SUITE:-}
root=$peers/asterisk${only:+-$only}
stamp=$root/.ready
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

fail() {
  echo "asterisk.sh: $*" >&2
  exit 1
}

# Debian 11 is the last stable release that carries Asterisk; should the mirror drop it, the
# development suite has it too.
setup() {
  [ -f "$stamp" ] && return 0
  [ "$(id -u)" = 0 ] || fail "the chroot for Asterisk is not there and making it needs root: run 'sudo env E2E_PEERS=$peers $0 setup'; the tests that use it need root, too"
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  mkdir -p "$peers"
  exec 9>"$peers/.lock"
  flock 9
  [ -f "$stamp" ] && return 0
  local suite log=$root.setup.log
  for suite in ${only:-bullseye sid}; do
    echo "making the Asterisk chroot from Debian $suite in $root (about a minute)"
    rm -rf "$root"
    if bootstrap "$suite" >"$log" 2>&1; then
      chroot "$root" asterisk -V | tee "$stamp"
      return 0
    fi
    tail -n 15 "$log" >&2
  done
  fail "could not make the chroot; the whole output is in $log"
}

bootstrap() {
  # The Release file of a moving suite expires, and a mirror's copy may be past its date.
  local quiet=(-qq -o Acquire::Check-Valid-Until=false) script=$1
  # An older debootstrap does not know the names of newer suites.
  [ -e "/usr/share/debootstrap/scripts/$1" ] || script=sid
  debootstrap --variant=minbase "$1" "$root" "$mirror" "$script" || return 1
  cp /etc/resolv.conf /etc/hosts "$root/etc/" || return 1
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  chroot "$root" apt-get "${quiet[@]}" update || return 1
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get "${quiet[@]}" -y --no-install-recommends install asterisk || return 1
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
}

# One instance lives in /srv/NAME of the chroot: configuration, sockets, log.
configure() {
  local name=$1 addr=$2 port=$3 dir=$root/srv/$1 modules
  modules=$(cd "$root" && find usr/lib -maxdepth 3 -type d -path '*/asterisk/modules' -print -quit)
  [ -n "$modules" ] || fail "no Asterisk modules in $root"
  rm -rf "$dir"
  mkdir -p "$dir"/{etc,run,log,spool,db,keys}
  {
    echo "[directories]"
    echo "astetcdir = /srv/$name/etc"
    echo "astmoddir = /$modules"
    echo "astvarlibdir = /usr/share/asterisk"
    echo "astdatadir = /usr/share/asterisk"
    echo "astagidir = /usr/share/asterisk/agi-bin"
    echo "astdbdir = /srv/$name/db"
    echo "astkeydir = /srv/$name/keys"
    echo "astspooldir = /srv/$name/spool"
    echo "astrundir = /srv/$name/run"
    echo "astlogdir = /srv/$name/log"
  } >"$dir/etc/asterisk.conf"
  printf '[general]\n[logfiles]\nmessages = notice,warning,error\n' >"$dir/etc/logger.conf"
  {
    printf '[modules]\nautoload = no\n'
    printf 'load = %s.so\n' \
      res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb \
      res_pjproject res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_rtp_asterisk \
      res_pjsip_pubsub res_pjsip_endpoint_identifier_anonymous res_pjsip_caller_id res_pjsip_nat \
      res_pjsip_endpoint_identifier_user res_pjsip_authenticator_digest res_pjsip_registrar res_pjsip_path \
      res_pjsip_refer res_pjsip_rfc3326 res_pjsip_logger chan_pjsip \
      pbx_config app_dial app_echo app_playtones bridge_simple codec_ulaw codec_alaw
  } >"$dir/etc/modules.conf"
  printf '[general]\nrtpstart = 20000\nrtpend = 29999\n' >"$dir/etc/rtp.conf"
  cat >"$dir/etc/pjsip.conf" <<PJSIP
[global]
type = global
user_agent = asterisk-$name
endpoint_identifier_order = username,anonymous

[over-udp]
type = transport
protocol = udp
bind = $addr:$port

[over-tcp]
type = transport
protocol = tcp
bind = $addr:$port

[anonymous]
type = endpoint
context = callers
disallow = all
allow = ulaw
direct_media = no
100rel = yes
PJSIP
  local desk
  for desk in desk{1..16}; do
    cat >>"$dir/etc/pjsip.conf" <<PJSIP

[$desk]
type = endpoint
context = callers
disallow = all
allow = ulaw
direct_media = no
auth = $desk
aors = $desk

[$desk]
type = auth
auth_type = userpass
username = $desk
password = secret

[$desk]
type = aor
max_contacts = 1
remove_existing = yes
support_path = yes
PJSIP
  done
  # An OPTIONS without user part looks for extension s; without it the answer is 404.
  cat >"$dir/etc/extensions.conf" <<'DIALPLAN'
[general]
static = yes

[callers]
exten = s,1,NoOp()
exten = echo,1,Answer()
 same = n,Echo()
exten = busy,1,Busy(0)
exten = ring,1,Ringing()
 same = n,Wait(30)
 same = n,Hangup(19)
exten = mute,1,Wait(30)
 same = n,Hangup(19)
exten = soon,1,Ringing()
 same = n,Wait(0.3)
 same = n,Answer()
 same = n,Echo()
exten = early,1,Progress()
 same = n,Wait(0.3)
 same = n,Answer()
 same = n,Echo()
exten = refresh,1,Answer()
 same = n,Wait(0.3)
 same = n,Set(PJSIP_MEDIA_OFFER(audio)=!all,alaw)
 same = n,Set(PJSIP_SEND_SESSION_REFRESH()=invite)
 same = n,Wait(0.5)
 same = n,Hangup()
exten = talk,1,Dial(Local/echo@callers/n)
exten = tone,1,Ringing()
 same = n,Wait(0.2)
 same = n,Playtones(425/100)
 same = n,Wait(1)
 same = n,Hangup()
exten = _desk.,1,Dial(PJSIP/${EXTEN},20)
exten = _X.,1,Ringing()
 same = n,Wait(1)
 same = n,Answer()
 same = n,Wait(300)
 same = n,Hangup()
DIALPLAN
  chroot "$root" chown -R asterisk:asterisk "/srv/$name"
}

case ${1:-} in
setup) setup ;;
run)
  [ $# = 4 ] || fail "run NAME ADDR PORT"
  [ -f "$stamp" ] || fail "the chroot is not there: run scripts/test-deps.sh"
  [ "$(id -u)" = 0 ] || fail "running Asterisk in its chroot needs root"
  # 198.18.0.0/15 is for tests (RFC 2544): nobody has it outside a namespace made for one.
  case $3 in 127.* | 198.18.*) ;; *) fail "$3 is neither a loopback address nor one for tests" ;; esac
  configure "$2" "$3" "$4"
  exec chroot --userspec=asterisk:asterisk "$root" /usr/sbin/asterisk -f -n -C "/srv/$2/etc/asterisk.conf"
  ;;
cli)
  [ $# -ge 3 ] || fail "cli NAME COMMAND…"
  name=$2
  shift 2
  exec chroot "$root" /usr/sbin/asterisk -C "/srv/$name/etc/asterisk.conf" -rx "$*"
  ;;
*)
  sed -n '2,24s/^# \{0,1\}//p' "$0"
  exit 2
  ;;
esac
