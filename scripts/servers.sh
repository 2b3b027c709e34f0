# PostgreSQL and NATS for a measurement, on free ports and on the disk of the project, because /tmp may be in memory. Source
# this file: at the end of the script the servers are stopped and their files removed.

home="$PWD/target/bench"
rm -rf "$home"
mkdir -p "$home/sqlite"

binaries=(/usr/lib/postgresql/*/bin)
export PATH="${binaries[-1]}:/usr/sbin:$PATH"
for tool in postgres nats-server; do
  if ! command -v "$tool" >/dev/null; then
    echo "$tool is missing: apt-get install postgresql nats-server" >&2
    exit 1
  fi
done

# PostgreSQL refuses to run as root.
as_postgres() {
  if [[ "$(id -u)" == 0 ]]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

stop_servers() {
  [[ -z "${cluster:-}" ]] || as_postgres pg_ctl --pgdata "$cluster" stop --mode=fast >/dev/null 2>&1 || true
  [[ -z "${nats_process:-}" ]] || kill "$nats_process" 2>/dev/null || true
  rm -rf "${cluster:-$home/postgres}" "$home"
}
trap stop_servers EXIT

# Sets $postgres, such as postgres://postgres@127.0.0.1:5432.
start_postgres() {
  cluster="$home/postgres"
  if [[ "$(id -u)" == 0 ]]; then
    # The owner of the server needs access to its files.
    cluster="$(mktemp --directory --tmpdir=/var/lib/postgresql authlog-bench.XXXXXX)"
    chown postgres: "$cluster"
  fi
  local port
  port="$(free_port)"
  as_postgres initdb --pgdata "$cluster" --username=postgres --auth=trust --encoding=UTF8 >/dev/null
  as_postgres pg_ctl --pgdata "$cluster" --wait --log "$cluster/log" \
    --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" start >/dev/null
  postgres="postgres://postgres@127.0.0.1:$port"
}

# Runs statements in a database, each in its own transaction.
query() {
  local database="$1" statement
  shift
  for statement in "$@"; do
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 "$postgres/$database" --command "$statement"
  done
}

# Sets $nats, such as nats://127.0.0.1:4222, once the server listens.
start_nats() {
  local port
  port="$(free_port)"
  nats-server --addr 127.0.0.1 --port "$port" --jetstream --store_dir "$home/nats" >/dev/null 2>&1 &
  nats_process=$!
  until (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
  nats="nats://127.0.0.1:$port"
}
