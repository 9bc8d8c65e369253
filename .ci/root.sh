#!/usr/bin/env bash
# What needs root: power cuts on an ext4 of its own on a loop device, a full disk, a disk that turns read-only. Mounts
# only images that the tests make, below their own temporary folders; says `skipped: …` where it may not mount.
# `ZHENYIN_LOOP_CUTS=1000 .ci/root.sh` by night.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "skipped: $*"; exit 0; }

# Every row prints a line when it has run: a filter that fits no test any more passes without a word.
ran() {
  local row
  for row in "R2 on a loop image: " "R2 control on a loop image" "R2 error on a loop image: " \
    "R6: .* refused on a full disk" "R6: .* up to the full disk" "R6: read-only was met"; do
    grep -q "$row" "$1" || { echo "error: nothing says \`$row\`"; return 1; }
  done
}

may_mount() {
  local room mounted=1
  room=$(mktemp -d)
  truncate -s 8M "$room/disk" && mkdir "$room/mounted" && mkfs.ext4 -q "$room/disk" &&
    mount -o loop "$room/disk" "$room/mounted" && umount "$room/mounted" && mounted=0
  rm -rf "$room"
  return "$mounted"
}

for command in mkfs.ext4 e2fsck mount umount; do
  command -v "$command" >/dev/null || skip "no $command here"
done
[ "$(id -u)" = 0 ] || skip "power cuts on a loop image and full disks need root"
may_mount 2>/dev/null || skip "an image cannot be mounted on a loop device here"

said=$(mktemp)
trap 'rm -f "$said"' EXIT
export ZHENYIN_LOOP_CUTS="${ZHENYIN_LOOP_CUTS:-100}"
cargo test -q -p zhenyin-tests --test crash -- --nocapture on_a_loop_image r6_ | tee "$said"
! grep -q "skipped: " "$said" || { echo "error: a test skipped itself where an image can be mounted"; exit 1; }
! ran /dev/null >/dev/null || { echo "error: a run without any test would pass"; exit 1; }
ran "$said"
