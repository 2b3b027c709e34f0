#!/usr/bin/env bash
# Measures the release program on both stores beside the limits of this machine, and prints a table. Takes some minutes;
# arguments go to the benchmark: `scripts/bench.sh --rounds 3 --json figures.json`. The machine should be idle.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in nats-server /usr/lib/postgresql; do
  if ! command -v "$tool" >/dev/null && ! [[ -e "$tool" || -e "/usr/sbin/$tool" ]]; then
    echo "$tool is missing: apt-get install postgresql nats-server" >&2
    exit 1
  fi
done
binaries=(/usr/lib/postgresql/*/bin)
export PATH="${binaries[-1]}:/usr/sbin:$PATH"

cargo build --release --locked --package authlog --package authlog-bench

# On the disk that the project is on: /tmp may be memory.
home="$PWD/target/bench"
rm -rf "$home"
mkdir -p "$home/sqlite" "$home/nats" "$home/postgres"

# PostgreSQL refuses to run as root.
as_postgres() {
  if [[ "$(id -u)" == 0 ]]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi
}
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
stop() {
  as_postgres pg_ctl --pgdata "$cluster" stop --mode=fast >/dev/null 2>&1 || true
  [[ -z "${nats:-}" ]] || kill "$nats" 2>/dev/null || true
  rm -rf "$cluster" "$home/nats" "$home/sqlite"
}
trap stop EXIT

cluster="$home/postgres"
if [[ "$(id -u)" == 0 ]]; then
  # Whoever runs the server has to get to its files.
  cluster="$(mktemp --directory --tmpdir=/var/lib/postgresql authlog-bench.XXXXXX)"
  chown postgres: "$cluster"
fi
port="$(free_port)"
as_postgres initdb --pgdata "$cluster" --username=postgres --auth=trust --encoding=UTF8 >/dev/null
as_postgres pg_ctl --pgdata "$cluster" --wait --log "$cluster/log" \
  --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" start >/dev/null
url="postgres://postgres@127.0.0.1:$port"
psql --quiet --no-psqlrc "$url/postgres" --command 'CREATE DATABASE service' --command 'CREATE DATABASE pgbench'

nats_port="$(free_port)"
nats-server --addr 127.0.0.1 --port "$nats_port" --jetstream --store_dir "$home/nats" >/dev/null 2>&1 &
nats=$!

target/release/authlog-bench run --postgres "$url/service" --pgbench "$url/pgbench" \
  --nats "nats://127.0.0.1:$nats_port" --directory "$home/sqlite" "$@"
