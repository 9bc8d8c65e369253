#!/usr/bin/env bash
# Encrypted inspection packages, in a build with the feature `age`, opened by the `age` of others. Installs it where it
# may; the test says `skipped: …` where it cannot. The first run builds about a hundred crates more.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v age-keygen >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get install -q -y --no-install-recommends age >/dev/null 2>&1 || true
fi
cargo clippy -q -p zhenyin-tests -p zhenyin --features age --lib -- -D warnings
cargo test -q -p zhenyin-tests --features age --test an_encrypted_package_opens_for_its_recipients_only -- --nocapture
