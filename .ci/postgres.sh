#!/usr/bin/env bash
# The upstream of a real site: installs PostgreSQL where it may, then runs the protocol tests on it, among them
# several processes that are killed again and again on one database. The tests start private clusters in
# temporary folders; says `skipped: …` where there is no PostgreSQL.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "skipped: $*"; exit 0; }

postgres_is_here() {
  command -v setpriv >/dev/null || return 1
  command -v initdb >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null
}

install_it() {
  apt-get update -q && apt-get install -q -y --no-install-recommends postgresql-common
  # The package would start a cluster of its own, which nobody here needs.
  [ -d /etc/postgresql ] && [ -n "$(ls /etc/postgresql)" ] ||
    sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  apt-get install -q -y --no-install-recommends postgresql util-linux
}

if ! postgres_is_here; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "no root and apt-get here to install postgresql"
  install_it >/dev/null 2>&1 || true
  postgres_is_here || skip "postgresql could not be installed"
fi

said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo test -q -p zhenyin-tests -p reference-upstream --test protocol -- --nocapture | tee "$said"
! grep -q "skipped: postgres" "$said" || { echo "error: the tests did not find the PostgreSQL that is here"; exit 1; }
