#!/usr/bin/env bash
# The networks on a processor without AVX (Nehalem, 2008), emulated by qemu-user: same numbers as everywhere. Takes about
# a minute; emulated time says nothing about speed. Never fails where there is no qemu: it says `skipped: …`.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v qemu-x86_64 >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get install -q -y --no-install-recommends qemu-user >/dev/null 2>&1 || true
fi
if [ "$(uname -m)" != x86_64 ] || ! command -v qemu-x86_64 >/dev/null; then
  echo "skipped: no qemu-x86_64 here; processors without AVX are not checked"
  exit 0
fi

export ZHENYIN_WITHOUT_AVX=1
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu Nehalem"
cargo test -p zhenyin-models --lib --test one_frame_through_all_stages --test preprocessing_matches_golden_vectors
