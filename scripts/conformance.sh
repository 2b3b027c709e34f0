#!/usr/bin/env bash
# Signs in with clients that others wrote, and runs the modules of the OpenID conformance suite over HTTP: first against npm
# oidc-provider, a certified provider, which shows that the checks are right, and then against Authlog.
#
#   scripts/conformance.sh                          every check
#   scripts/conformance.sh --only 'Basic OP'        the checks whose plan or name has this text
#   scripts/conformance.sh --provider authlog       one provider alone (or oidc-provider)
#   scripts/conformance.sh --faults                 against copies that are broken on purpose: each check has to fail
#
# Prints one line for each check (passed, FAILED or not supported), and ends with code 1 if one failed.
#
# Needs Node 20 or later with npm, Python 3.10 or later, and the registries of npm, PyPI and crates.io. Chromium, and cargo for the
# Rust client, are optional: their checks say "not supported" without them. Installs into target/conformance alone.
# AUTHLOG_PROGRAM names a program to check in place of a release build; AUTHLOG_DATABASE_URL an empty PostgreSQL database. With an
# empty CONFORMANCE_RUST the Rust client is not built.
set -euo pipefail
cd "$(dirname "$0")/.."

home="${CARGO_TARGET_DIR:-target}/conformance"
providers=(oidc-provider authlog)
arguments=()
while (($# > 0)); do
  case "$1" in
    --provider) providers=("$2"); shift 2 ;;
    --only) arguments+=(--only "$2"); shift 2 ;;
    --faults) arguments+=(--faults); shift ;;
    *) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

step() { printf '\n==> %s\n' "$*"; }

if [[ -z "${AUTHLOG_PROGRAM:-}" && " ${providers[*]} " == *' authlog '* ]]; then
  step 'Authlog'
  cargo build --release --locked --bin authlog
  AUTHLOG_PROGRAM="$(realpath "${CARGO_TARGET_DIR:-target}/release/authlog")"
fi
export AUTHLOG_PROGRAM="${AUTHLOG_PROGRAM:-}"

step 'Clients'
mkdir -p "$home"
home="$(realpath "$home")"
# Node looks for packages above the file that imports them, so the checks run from a copy.
find "$home" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name python ! -name rust -exec rm -r {} +
(cd tests/conformance && tar --create --exclude=node_modules .) | tar --extract --directory "$home"
npm ci --prefix "$home" --no-fund --no-audit --loglevel=error
[[ -x "$home/python/bin/python" ]] || python3 -m venv "$home/python"
"$home/python/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/conformance/requirements.txt
export CONFORMANCE_PYTHON="$home/python/bin/python"
if [[ -z "${CONFORMANCE_RUST+set}" ]] && command -v cargo >/dev/null; then
  cargo build --quiet --locked --manifest-path tests/conformance/clients/rust/Cargo.toml --target-dir "$home/rust"
  export CONFORMANCE_RUST="$home/rust/debug/authlog-conformance-openidconnect"
fi

failed=0
for provider in "${providers[@]}"; do
  step "$provider"
  node "$home/run.js" --provider "$provider" "${arguments[@]}" || failed=1
done
exit "$failed"
