#!/usr/bin/env bash
# Measures the release program on both stores beside the limits of this machine, and prints a table. Takes some minutes;
# arguments go to the benchmark: `scripts/bench.sh --rounds 3 --json figures.json`. The machine should be idle.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/servers.sh

cargo build --release --locked --package authlog --package authlog-bench

start_postgres
start_nats
query postgres 'CREATE DATABASE service' 'CREATE DATABASE pgbench'

target/release/authlog-bench run --postgres "$postgres/service" --pgbench "$postgres/pgbench" --nats "$nats" \
  --directory "$home/sqlite" "$@"
