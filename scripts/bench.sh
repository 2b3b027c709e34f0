#!/usr/bin/env bash
# Measures the program, built as for production, on both stores beside the limits of this machine, and prints a table. Takes
# some minutes; arguments go to the benchmark: `scripts/bench.sh --rounds 3 --json figures.json`. The machine should be idle.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/servers.sh

cargo build --profile dist --locked --package authlog --package authlog-bench

start_postgres
start_nats
query postgres 'CREATE DATABASE service' 'CREATE DATABASE pgbench'

target/dist/authlog-bench run --program target/dist/authlog --postgres "$postgres/service" --pgbench "$postgres/pgbench" --nats "$nats" \
  --directory "$home/sqlite" "$@"
