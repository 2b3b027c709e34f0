#!/usr/bin/env bash
# Fills both stores with a log of a million events (or as many as the first argument says) and times what auditors and
# operators do with it: how long, how many events a second, and the most memory that it took.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/servers.sh
events="${1:-1000000}"

cargo build --release --locked --package authlog --package authlog-bench
start_postgres
query postgres 'CREATE DATABASE authlog'

# Runs the program and prints a line of the table; $1 is what it does, $2 how many events that concerns, or nothing.
timed() {
  local what="$1" concerned="$2"
  shift 2
  python3 - "$what" "$concerned" target/release/authlog "$@" <<'PYTHON'
import resource, subprocess, sys, time
what, concerned, *command = sys.argv[1:]
began = time.monotonic()
subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
took = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
rate = f"{int(concerned) / took:,.0f}" if concerned else ""
print(f"| {what} | {took:.2f} | {rate} | {peak:.0f} |", flush=True)
PYTHON
}

measure() {
  export AUTHLOG_DATA_DIR="$home/data-$1" AUTHLOG_LOG=error
  mkdir -p "$AUTHLOG_DATA_DIR"
  echo "filling $1" >&2
  target/release/authlog-bench fill --events "$events" --data-dir "$AUTHLOG_DATA_DIR" \
    ${AUTHLOG_DATABASE_URL:+--database-url "$AUTHLOG_DATABASE_URL"}
  # Any account; they have the same number of events.
  local somebody
  somebody="$(target/release/authlog user list | awk '$1 == 11 { print $2 }')"
  printf '\n%s, %s events\n\n| | seconds | events a second | MiB at the most |\n|---|--:|--:|--:|\n' "$1" "$events"
  timed 'checkpoints signed for the whole log' "$events" log checkpoint
  timed 'log verify' "$events" log verify
  timed 'doctor' "$events" doctor
  timed 'rebuild' "$events" rebuild
  timed 'history of one account' '' history "$somebody" --json
  timed 'state of one account, now' '' state "$somebody"
  timed 'state of one account at half of the log' '' state "$somebody" --at "$((events / 2))"
  timed 'export of one account' '' export --user "$somebody" --out "$home/export.ndjson"
}

measure SQLite
export AUTHLOG_DATABASE_URL="$postgres/authlog"
measure PostgreSQL
