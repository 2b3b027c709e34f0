#!/usr/bin/env bash
# Measures the release build of the program on both stores. The machine should be idle. Further arguments go to the
# benchmark.
#
#   scripts/bench.sh              every operation, the limits of this machine, and a storm of logins: some minutes
#   scripts/bench.sh --only refresh,login --rounds 3 --json figures.json
#   scripts/bench.sh memory       the program's memory under every load, with 32 and with 300 connections: `--seconds 60`
#   scripts/bench.sh recovery     whether the program recovers from a disturbance: `--runs 20 --connections 32,300,3000`
#   scripts/bench.sh isolation    how one abusive client affects the others: `--seconds 30 --abuses followers`
#   scripts/bench.sh revocation   how long services accept a token that has ended: `--changes 1000 --only logout,lock`. The services are
#                                 axum with the crate, Python and Node, so this needs npm, PyPI and their registries. With `--over-nats`
#                                 they read the stream in place of the feed; `--flood 100000` ends as many sessions at once
set -euo pipefail
cd "$(dirname "$0")/.."

what=run
case "${1:-}" in
  run | memory | recovery | isolation | revocation)
    what="$1"
    shift
    ;;
esac

source scripts/servers.sh

cargo build --profile dist --locked --package authlog --package authlog-bench
ulimit -n "$(ulimit -Hn)"

start_postgres
query postgres 'CREATE DATABASE service'

bench() {
  local what="$1"
  shift
  target/dist/authlog-bench "$what" --program target/dist/authlog --directory "$home/sqlite" "$@"
}

case "$what" in
  run)
    start_nats
    query postgres 'CREATE DATABASE pgbench'
    bench run --postgres "$postgres/service" --pgbench "$postgres/pgbench" --nats "$nats" "$@"
    ;;
  memory)
    for connections in 32 300; do
      query postgres 'DROP DATABASE service' 'CREATE DATABASE service'
      bench memory --postgres "$postgres/service" --connections "$connections" "$@"
    done
    ;;
  revocation)
    source scripts/examples.sh
    cargo build --profile dist --locked --package authlog-verifier --example protected_service --features axum,nats
    install_examples target/revocation
    over=()
    if [[ "${1:-}" == --over-nats ]]; then
      shift
      start_nats
      over=(--nats "$nats")
    fi
    bench revocation --postgres "$postgres/service" "${over[@]}" \
      --service axum=target/dist/examples/protected_service \
      --service "Python=$examples_python examples/revocation/python/service.py" \
      --service "Node=node $examples_typescript/service.js" "$@"
    ;;
  recovery | isolation) bench "$what" --postgres "$postgres/service" "$@" ;;
esac
