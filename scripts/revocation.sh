#!/usr/bin/env bash
# Checks the examples of services that verify tokens by themselves, in Python, TypeScript and Rust, over the feed and over NATS.
#
#   scripts/revocation.sh                  every example
#   scripts/revocation.sh --only NATS      the examples whose name has this text
#   scripts/revocation.sh --check keys     the checks whose line has this text
#   scripts/revocation.sh --away 60        a NATS server that is away for a minute
#
# Prints one line for each check, and ends with code 1 if one failed.
#
# Needs Node 20 or later with npm, Python 3.10 or later, nats-server, and the registries of npm and PyPI, so scripts/test.sh does not
# run it. The checks with a log that loses its last events are skipped with PostgreSQL. Installs into target/revocation alone.
# AUTHLOG_PROGRAM names a program to check in place of a release build; AUTHLOG_DATABASE_URL an empty PostgreSQL database.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="/usr/sbin:$PATH"

source scripts/examples.sh

if [[ -z "${AUTHLOG_PROGRAM:-}" ]]; then
  cargo build --release --locked --bin authlog
  AUTHLOG_PROGRAM="$(realpath "${CARGO_TARGET_DIR:-target}/release/authlog")"
fi

cargo build --release --locked --package authlog-verifier --example protected_service --features axum,nats
install_examples "${CARGO_TARGET_DIR:-target}/revocation"
python3 tests/revocation/check_examples.py --program "$AUTHLOG_PROGRAM" --python "$examples_python" \
  --typescript "$examples_typescript" --rust "${CARGO_TARGET_DIR:-target}/release/examples/protected_service" "$@"
