#!/usr/bin/env bash
# Checks everything: formatting, lints, documentation, and every test with the real program, a real PostgreSQL and a real mail server.
# Needs Rust and a C compiler, and installs the rest with apt-get if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n==> %s\n' "$*"; }

# Whether all of these Debian packages are installed.
installed() {
  local package
  for package in "$@"; do
    [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || return 1
  done
}

as_root() {
  if [[ "$(id -u)" == 0 ]]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

needed=(postgresql pgbouncer nats-server python3-aiosmtpd oathtool)
# Tests that need a browser, a Python library or one of these proxies print a note and do nothing if it is missing.
optional=(chromium chromium-driver nginx libnginx-mod-http-js haproxy apache2 libapache2-mod-auth-openidc python3-jwt python3-cryptography python3-jose python3-authlib python3-requests)

step "Tools that the tests need: ${needed[*]}"
if ! installed "${needed[@]}" "${optional[@]}"; then
  as_root apt-get update
  install_packages "${needed[@]}"
  for package in "${optional[@]}"; do
    install_packages "$package" || echo "$package cannot be installed: tests that need it do nothing"
  done
fi

# What the verifier has besides its defaults.
features=(--features 'authlog-verifier/nats authlog-verifier/tower authlog-verifier/axum')

step 'Formatting'
cargo fmt --all --check

step 'Lints'
cargo clippy --workspace "${features[@]}" --all-targets --locked -- -D warnings

# Most comments describe private items, so their links are checked as well.
step 'Documentation'
RUSTDOCFLAGS='-D warnings' cargo doc --workspace "${features[@]}" --no-deps --document-private-items --locked

if command -v cargo-deny >/dev/null; then
  # Advisories change daily and need the network, so `cargo deny check advisories` belongs in a scheduled job.
  step 'Licences, sources and permitted dependencies'
  cargo deny --workspace check licenses sources bans
fi

step 'Tests'
if command -v cargo-nextest >/dev/null; then
  cargo nextest run --workspace "${features[@]}" --locked --no-fail-fast
  # nextest runs no examples of the documentation.
  cargo test --workspace "${features[@]}" --doc --locked
else
  cargo test --workspace "${features[@]}" --locked --no-fail-fast
fi

step 'All checks passed'
