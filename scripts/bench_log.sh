#!/usr/bin/env bash
# Fills both stores with a log of a million events (the first argument changes the number), and measures the commands of
# auditors and operators on it: time, events a second, and peak memory.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/servers.sh
events="${1:-1000000}"

cargo build --release --locked --package authlog --package authlog-bench
start_postgres
query postgres 'CREATE DATABASE authlog'

# Runs the program and prints a line of the table. $1 names the task, $2 is the number of its events, or empty.
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
  # Any account will do: all have the same number of events.
  local account
  account="$(target/release/authlog user list | awk '$1 == 11 { print $2 }')"
  printf '\n%s, %s events\n\n| | seconds | events a second | peak MiB |\n|---|--:|--:|--:|\n' "$1" "$events"
  timed 'checkpoints signed for the whole log' "$events" log checkpoint
  timed 'log verify' "$events" log verify
  timed 'doctor' "$events" doctor
  timed 'rebuild' "$events" rebuild
  timed 'history of one account' '' history "$account" --json
  timed 'state of one account, now' '' state "$account"
  timed 'state of one account at half of the log' '' state "$account" --at "$((events / 2))"
  timed 'export of one account' '' export --user "$account" --out "$home/export.ndjson"
}

measure SQLite
export AUTHLOG_DATABASE_URL="$postgres/authlog"
measure PostgreSQL
