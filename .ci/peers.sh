#!/usr/bin/env bash
# Our card code against programs that others wrote: pcscd with libccid's serial driver drives our simulated readers,
# pcsc_scan, opensc-tool and scriptor read the synthetic card in them, and our PC/SC backend reads the same cards
# through libccid and through vsmartcard's vpcd. Installs the peers where it may; says `skipped: …` where it cannot.
set -euo pipefail
cd "$(dirname "$0")/.."

peers="pcscd libccid vsmartcard-vpcd pcsc-tools opensc socat libpcsclite-dev pkg-config"
commands="pcscd pcsc_scan scriptor opensc-tool socat pkg-config"
twin=/usr/lib/pcsc/drivers/serial/libccidtwin.so

skip() { echo "skipped: $*"; exit 0; }

peers_are_here() {
  for command in $commands; do command -v "$command" >/dev/null || return 1; done
  [ -e "$twin" ] && [ -e "$(vpcd_driver)" ] && pkg-config --exists libpcsclite
}

# Where the package puts it differs between architectures and versions.
vpcd_driver() { find /usr/lib -name 'libifdvpcd.so*' 2>/dev/null | head -n 1; }

if ! peers_are_here; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "no root and apt-get here to install: $peers"
  # shellcheck disable=SC2086
  { apt-get update -q && apt-get install -q -y --no-install-recommends $peers; } >/dev/null 2>&1 || true
  peers_are_here || skip "these could not be installed: $peers"
fi
[ "$(id -u)" = 0 ] || skip "pcscd is started here, which needs root"
[ ! -e /run/pcscd/pcscd.comm ] || ! pgrep -x pcscd >/dev/null || skip "a pcscd runs here already"

cargo clippy -q -p firmware-bridge -p zhenyin-tests --features pcsc --all-targets -- -D warnings
cargo build -q -p zhenyin-tests --example simulated_reader
cargo test -q -p zhenyin-tests --features pcsc --test pcsc_and_serial_read_the_same --no-run
simulator="${CARGO_TARGET_DIR:-target}/debug/examples/simulated_reader"

room=$(mktemp -d)
jobs_begun=""
# shellcheck disable=SC2086,SC2329
clean_up() { kill $jobs_begun 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$room"; }
trap clean_up EXIT

# begin LOG COMMAND…: in the background, ended with this script.
begin() { local log=$1; shift; "$@" <&9 >"$room/$log" 2>&1 & jobs_begun="$jobs_begun $!"; }

# until_there WHAT COMMAND…: waits for the command to succeed, 15 seconds at most.
until_there() {
  local what=$1; shift
  for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  echo "error: no $what after 15 s"; cat "$room"/*.log; exit 1
}

expect() { grep -q -- "$1" "$2" || { echo "error: \`$1\` is not in:"; cat "$2" "$room/pcscd.log"; exit 1; }; }

# Never written to: who reads from it waits.
mkfifo "$room/open"
exec 9<>"$room/open"
begin echoing.log "$simulator" "$room/echoing" echo 2
begin silent.log "$simulator" "$room/silent" no-echo 2
until_there "simulated reader" test -e "$room/echoing" -a -e "$room/silent"
# Between libccid and the echoing reader, so that what the host says can be compared with our encoder.
begin socat.log socat -r "$room/host.bin" "PTY,link=$room/tapped,rawer" "OPEN:$room/echoing,rawer"
until_there "tap" test -e "$room/tapped"

cat >"$room/reader.conf" <<CONF
FRIENDLYNAME "GemPCTwin"
DEVICENAME   $room/tapped:GemPCTwin
LIBPATH      $twin
CHANNELID    1

FRIENDLYNAME "GemCoreSIMPro"
DEVICENAME   $room/silent:GemCoreSIMPro
LIBPATH      $twin
CHANNELID    2

FRIENDLYNAME "Virtual PCD"
DEVICENAME   /dev/null:0x8C7B
LIBPATH      $(vpcd_driver)
CHANNELID    0x8C7B
CONF
begin pcscd.log pcscd --foreground --config "$room/reader.conf"
scan() { timeout 5 pcsc_scan -r | tee "$room/scan.txt" | grep "$1"; }
until_there "reader in pcscd" scan GemPCTwin
until_there "reader in pcscd" scan GemCoreSIMPro
until_there "virtual reader in pcscd" scan "Virtual PCD"
sed 's/^/  /' "$room/scan.txt"

atr="3b:6d:00:00:00:81:54:4c:96:86:84:37:16:00:8f:3d:97"
# SELECT application and what it announces, SELECT EF06, READ RECORD 08: the synthetic identity number, asked for
# with its length, then without (6C14).
cat >"$room/session" <<'SESSION'
00 A4 04 00 0F 73 78 31 2E 73 68 2E C9 E7 BB E1 B1 A3 D5 CF
00 C0 00 00 13
00 A4 02 00 02 EF 06
00 B2 08 00 14
00 B2 08 00 00
SESSION
for name in GemPCTwin GemCoreSIMPro; do
  reader=$(grep -o "$name.*" "$room/scan.txt" | head -n 1)
  opensc-tool --reader "$reader" --atr >"$room/atr.txt" 2>&1 || true
  expect "$atr" "$room/atr.txt"
  timeout 30 scriptor -r "$reader" -p T=0 "$room/session" >"$room/session.txt" 2>&1
  expect "61 13" "$room/session.txt"
  expect "08 12 31 31 30 31 30 35 31 38 34 39 30 33 30 37 30 30 37 58 90 00" \
    <(tr -s ' \n' ' ' <"$room/session.txt")
  expect "6C 14" "$room/session.txt"
  echo "$reader: answer to reset by opensc-tool, records by scriptor"
done

cargo test -q -p zhenyin-tests --features pcsc --test pcsc_and_serial_read_the_same -- --nocapture | tee "$room/test.txt"
! grep -q skipped "$room/test.txt" || { echo "error: the PC/SC test found no reader"; exit 1; }

od -An -v -tx1 -w16 "$room/host.bin" >"$room/host.hex"
[ -z "${KEEP_HOST_BYTES:-}" ] || cp "$room/host.hex" "$KEEP_HOST_BYTES"
ZHENYIN_HOST_BYTES="$room/host.hex" cargo test -q -p zhenyin-tests --test libccid_frames_equal_ours
echo "every frame that libccid sent now equals ours"
