#!/usr/bin/env bash
# Fills both stores with a million accounts and five million events (the first two arguments change the numbers), and
# compares every operation with an empty store, with sessions that were refreshed ten thousand times. Takes half an hour and
# fifteen gigabytes. Further arguments go to the benchmark: `scripts/bench_grown.sh 10000 50000 --rounds 3`.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/servers.sh
accounts="${1:-1000000}"
events="${2:-5000000}"
shift "$(($# < 2 ? $# : 2))"

cargo build --profile dist --locked --package authlog --package authlog-bench
start_postgres
query postgres 'CREATE DATABASE filled' 'CREATE DATABASE empty' "ALTER SYSTEM SET max_wal_size = '4GB'"
query postgres 'SELECT pg_reload_conf()' >/dev/null
bench=target/dist/authlog-bench
program=target/dist/authlog

echo 'SQLite: filling' >&2
"$bench" fill --accounts "$accounts" --events "$events" --data-dir "$home/filled"
"$bench" grown --program "$program" --accounts "$accounts" --filled "$home/filled" --directory "$home/sqlite" "$@"
rm -r "$home/filled"

echo 'PostgreSQL: filling' >&2
"$bench" fill --accounts "$accounts" --events "$events" --data-dir "$home/filled" --database-url "$postgres/filled"
query filled 'VACUUM ANALYZE'
"$bench" grown --program "$program" --accounts "$accounts" --filled "$home/filled" --filled-postgres "$postgres/filled" \
  --empty-postgres "$postgres/empty" --directory "$home/sqlite" "$@"
