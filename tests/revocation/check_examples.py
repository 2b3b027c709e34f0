"""Checks the examples in Python, TypeScript and Rust against Authlog, over the feed and over NATS: `scripts/revocation.sh` starts this.

Prints one line for each check of each example, and ends with code 1 if one failed.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

PATIENCE = 60
PASSWORD = "correct horse battery"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def part(token, number):
    text = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def claims(token):
    return part(token, 1)


def key_id(token):
    return part(token, 0)["kid"]


def request(method, url, body=None, token=None, **headers):
    """The status, the headers and the JSON of the answer."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    data = json.dumps(body).encode() if body is not None else None
    headers |= {"Content-Type": "application/json"} if body is not None else {}
    asking = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(asking, timeout=PATIENCE) as answer:
            status, received, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        status, received, text = refused.code, refused.headers, refused.read()
    return status, received, json.loads(text or b"null")


class Process:
    """A program that says where it listens. Killed at the end."""

    def __init__(self, command, environment):
        self.running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        limit = threading.Timer(PATIENCE, self.running.kill)
        limit.start()
        line = self.running.stdout.readline()
        limit.cancel()
        if not line.startswith("listening on "):
            self.stop()
            raise RuntimeError(f"{command} said {line!r}")
        address = line.split()[2]
        self.url = address if address.startswith("http") else f"http://{address}"

    def send(self, signal):
        self.running.send_signal(signal)

    def stop(self):
        self.running.kill()
        self.running.wait()


class Authlog(Process):
    def __init__(self, program, folder, nats):
        self.program, self.folder = program, folder
        self.environment = {
            "PATH": os.environ["PATH"], "AUTHLOG_LISTEN": f"127.0.0.1:{free_port()}", "AUTHLOG_DATA_DIR": folder,
            "AUTHLOG_RATE_LIMIT": "off", "AUTHLOG_NATS_URL": nats, "AUTHLOG_LOG": "warn", "AUTHLOG_ARGON2_MEMORY_KIB": "1024",
            "AUTHLOG_ARGON2_ITERATIONS": "1",
        }
        self.has_file = "AUTHLOG_DATABASE_URL" not in os.environ
        if not self.has_file:
            self.environment["AUTHLOG_DATABASE_URL"] = os.environ["AUTHLOG_DATABASE_URL"]
            subprocess.run([program, "migrate"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.start()

    def start(self):
        super().__init__([self.program], self.environment)

    @contextlib.contextmanager
    def frozen(self):
        """It answers nothing meanwhile."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def run(self, *arguments, given=""):
        command = [self.program, *arguments]
        return subprocess.run(command, env=self.environment, input=given, text=True, capture_output=True, check=True).stdout

    def call(self, method, path, body=None, token=None, **headers):
        """The index of the last event of the change, if Authlog says it, and the answer."""
        status, received, answer = request(method, self.url + path, body, token, **headers)
        if status >= 300:
            raise RuntimeError(f"{path}: {status} {answer}")
        return received.get("Authlog-Log-Index"), answer

    def sign_up(self, name):
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        _, answer = self.call("POST", "/api/auth/register", body)
        return answer["data"]["access_token"]["token"]

    def sign_in(self, name):
        _, answer = self.call("POST", "/api/auth/login", {"username": name, "password": PASSWORD})
        return answer["data"]["access_token"]["token"]

    def sign_out(self, token):
        self.call("POST", "/api/auth/logout", None, token)

    def signed_out(self, name):
        """The token of a session that has ended."""
        token = self.sign_up(name)
        self.sign_out(token)
        return token


class Nats:
    def __init__(self, folder):
        self.port, self.folder = free_port(), folder
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = ["nats-server", "--addr", "127.0.0.1", "--port", str(self.port), "--jetstream", "--store_dir", self.folder]
        self.running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: self.listens(), "nats-server listens")

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.running.kill()
        self.running.wait()

    def wipe(self):
        """Starts again without the stream."""
        self.stop()
        shutil.rmtree(self.folder)
        self.start()

    def ask(self, subject):
        """The answer of JetStream, over a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection, connection.makefile("rb") as answers:
            connection.sendall(f"CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer 0\r\n\r\n".encode())
            for line in answers:
                if line.startswith(b"MSG answer"):
                    return json.loads(answers.read(int(line.split()[-1])))
        raise RuntimeError("nats-server closed the connection")

    def delete_streams(self):
        for name in self.ask("$JS.API.STREAM.NAMES")["streams"]:
            self.ask(f"$JS.API.STREAM.DELETE.{name}")

    def delete_consumers(self):
        for name in self.ask("$JS.API.CONSUMER.NAMES.AUTH_EVENTS")["consumers"]:
            self.ask(f"$JS.API.CONSUMER.DELETE.AUTH_EVENTS.{name}")


class Keys:
    """A server that answers with the key set of Authlog, or as `does` says."""

    def __init__(self, authlog):
        self.does, self.ends, self.asked, keys = "answers", threading.Event(), 0, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                keys.answer(self, authlog)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.url = True, f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request, authlog):
        if self.does == "hangs":
            self.ends.wait()
            return
        with urllib.request.urlopen(authlog.url + request.path) as answer:
            known = json.loads(answer.read())
        unsuitable = [{"kty": "RSA", "alg": "RS256", "kid": "bad", "n": "", "e": ""}]
        others = {"adds": {"keys": unsuitable + known["keys"]}, "retires": {"keys": unsuitable}}
        body = others.get(self.does, known)
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(json.dumps(body).encode())
            self.asked += 1
            while self.does == "endless":
                request.wfile.write(b" " * 1_000_000)

    def stop(self):
        self.does = "answers"
        self.ends.set()
        self.server.shutdown()
        self.server.server_close()


class SlowNats:
    """Delivers heartbeats at once, and answers to requests only from `release` on."""

    def __init__(self, nats):
        self.listener, self.upstream = socket.create_server(("127.0.0.1", 0)), ("127.0.0.1", nats.port)
        self.url = f"nats://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock, self.held, self.is_slow, self.heartbeats = threading.Lock(), [], True, 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.upstream)
                for work in (self.ask, self.answer):
                    threading.Thread(target=work, args=(client, server), daemon=True).start()

    def ask(self, client, server):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def answer(self, client, server):
        with contextlib.suppress(OSError), server.makefile("rb") as lines:
            for line in lines:
                kind, _, rest = line.partition(b" ")
                if kind in (b"MSG", b"HMSG"):
                    line += lines.read(int(line.split()[-1]) + 2)
                with self.lock:
                    if self.is_slow and rest.startswith(b"_INBOX"):
                        self.held.append((client, line))
                    else:
                        client.sendall(line)
                        self.heartbeats += rest.startswith(b"auth-heartbeat")
            client.shutdown(socket.SHUT_RDWR)

    def release(self):
        with self.lock, contextlib.suppress(OSError):
            for client, line in self.held:
                client.sendall(line)
            self.is_slow = False

    def stop(self):
        self.listener.close()


class Example(Process):
    def __init__(self, name, command, environment):
        self.name, self.command, self.environment = name, command, environment
        super().__init__(command, os.environ | environment)

    @contextlib.contextmanager
    def another(self, **settings):
        """A second one, with other settings."""
        other = Example(self.name, self.command, self.environment | settings)
        try:
            yield other
        finally:
            other.stop()

    def says(self, token, **headers):
        status, _, answer = request("GET", self.url + "/protected", None, token, **headers)
        return "accepted" if status == 200 else answer["error"]

    def eventually(self, wanted, token):
        eventually(lambda: self.says(token) == wanted, f"the token is {wanted}")


def eventually(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.02)


def expect(found, wanted):
    assert found == wanted, f"{found}, and not {wanted}"


class Skipped(Exception):
    """A check that is not possible here. The text says why."""


# The checks. Each gets Authlog, NATS, an example, a name for accounts of its own, and the options of the program.


def ends_sessions(authlog, _nats, example, name, _options):
    """a logout, a lock, a change of role and an erasure"""
    admin = authlog.sign_in("root")

    def about(method, rest, body=None):
        return lambda token: authlog.call(method, f"/admin/users/{claims(token)['sub']}{rest}", body, admin)

    changes = [
        authlog.sign_out,
        about("POST", "/lock"),
        about("PUT", "/role", {"role": "auditor"}),
        about("DELETE", ""),
    ]
    for number, change in enumerate(changes):
        token = authlog.sign_up(f"{name}-{number}")
        expect(example.says(token), "accepted")
        change(token)
        example.eventually("ended", token)


def keeps_a_session(authlog, _nats, example, name, _options):
    """a new password ends every session but one"""
    other, kept = authlog.sign_up(name), authlog.sign_in(name)
    authlog.call("POST", "/account/password", {"current_password": PASSWORD, "new_password": "another-secret"}, kept)
    example.eventually("ended", other)
    expect(example.says(kept), "accepted")


def sees_own_logout(authlog, _nats, example, name, _options):
    """who signed out sees it at the first request"""
    for number in range(20):
        token = authlog.sign_up(f"{name}-{number}")
        index, _ = authlog.call("POST", "/api/auth/logout", None, token, Prefer="log-index")
        assert index, "no Authlog-Log-Index"
        expect(example.says(token, Authlog_Log_Index=index), "ended")


def refuses_malformed(authlog, _nats, example, name, _options):
    """tokens that are not valid"""
    token = authlog.sign_up(name)
    head, body, signature = token.split(".")
    for wrong in ("x", "..", "[" * 8000, f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", f"{body}.{head}.{signature}"):
        expect(example.says(wrong), "invalid")
    expect(example.says(token), "accepted")


def stays_current(authlog, _nats, example, name, _options):
    """the news stays current while nothing happens"""
    token = authlog.sign_up(name)
    for _ in range(400):
        expect(example.says(token), "accepted")
        time.sleep(0.02)


def fails_closed(authlog, _nats, example, name, _options):
    """Authlog does not answer: the news get too old, and come back"""
    live, ended = authlog.sign_up(name), authlog.signed_out(f"{name}-2")
    example.eventually("ended", ended)
    with authlog.frozen():
        example.eventually("stale", live)
        expect(example.says(ended), "ended")
    example.eventually("accepted", live)


def catches_up(authlog, nats, example, name, options):
    """what ended while NATS was away is refused when it is back with the stream"""
    live = authlog.sign_up(name)
    nats.stop()
    try:
        until, ended = time.monotonic() + options.away, []
        while time.monotonic() < until:
            ended.append(authlog.signed_out(f"{name}-{len(ended)}"))
            if "NATS" not in example.name:
                example.eventually("ended", ended[-1])
                example.eventually("accepted", live)
        if "NATS" in example.name:
            example.eventually("stale", live)
    finally:
        nats.start()
    example.eventually("accepted", live)
    for token in ended:
        expect(example.says(token), "ended")


def survives_a_wiped_stream(authlog, nats, example, name, _options):
    """the stream is deleted and filled again"""
    live, ended = authlog.sign_up(name), authlog.signed_out(f"{name}-2")
    example.eventually("ended", ended)
    nats.wipe()
    later = authlog.signed_out(f"{name}-3")
    example.eventually("ended", later)
    example.eventually("accepted", live)
    expect(example.says(ended), "ended")


def survives_a_lost_consumer(authlog, nats, example, name, _options):
    """the server of NATS loses its consumer"""
    live, ended = authlog.sign_up(name), authlog.sign_up(f"{name}-2")
    nats.delete_consumers()
    authlog.sign_out(ended)
    example.eventually("ended", ended)
    example.eventually("accepted", live)


def survives_a_restart(authlog, _nats, example, name, _options):
    """Authlog stops after many changes and starts again"""
    live = authlog.sign_up(name)
    ended = [authlog.signed_out(f"{name}-{number}") for number in range(100)]
    authlog.stop()
    example.eventually("stale", live)
    authlog.start()
    example.eventually("accepted", live)
    ended.append(authlog.signed_out(f"{name}-later"))
    example.eventually("ended", ended[-1])
    with example.another() as later:
        for token in ended:
            expect(example.says(token), "ended")
            expect(later.says(token), "ended")
        later.eventually("accepted", live)


def log_ends_earlier(authlog, nats, example, name, _options):
    """the log loses its last events and NATS its stream, and another session ends"""
    live, ended = lose_events(authlog, example, name, nats.wipe)
    authlog.sign_out(ended)
    example.eventually("ended", ended)
    example.eventually("accepted", live)


def log_has_other_events(authlog, nats, example, name, _options):
    """the log loses its last events, and has others in their place before they are read"""
    live, ended = lose_events(authlog, example, name, nats.delete_streams)
    authlog.sign_out(ended)
    for number in range(20):
        authlog.sign_up(f"{name}-other-{number}")
    example.eventually("ended", ended)
    example.eventually("accepted", live)


def lose_events(authlog, example, name, and_then):
    """Restores a copy of the database after the example has read what happened since. Returns the tokens of two live sessions."""
    if not authlog.has_file:
        raise Skipped("the database is not a file")
    live, ended = authlog.sign_up(name), authlog.sign_up(f"{name}-2")
    example.eventually("accepted", ended)
    authlog.stop()
    shutil.copytree(authlog.folder, f"{authlog.folder}-copy")
    authlog.start()
    for number in range(5):
        lost = authlog.signed_out(f"{name}-lost-{number}")
    example.eventually("ended", lost)
    authlog.stop()
    shutil.rmtree(authlog.folder)
    os.rename(f"{authlog.folder}-copy", authlog.folder)
    and_then()
    authlog.start()
    return live, ended


def follows_the_keys(authlog, _nats, example, name, _options):
    """a key that replaces another is accepted, and a retired one is not"""
    with example.another(KEYS_MAX_AGE_MS="2000") as other:
        first = authlog.sign_up(name)
        authlog.run("keys", "rotate", "--now")
        eventually(lambda: key_id(authlog.sign_in(name)) != key_id(first), "another key signs")
        second = authlog.sign_in(name)
        for it in (example, other):
            it.eventually("accepted", second)
            it.eventually("accepted", first)
        authlog.run("keys", "retire", key_id(first))
        other.eventually("invalid", first)
        other.eventually("accepted", second)


def keys_grow_old(authlog, _nats, example, name, _options):
    """the server of the keys does not answer, or not with keys that can be used"""
    if "NATS" not in example.name:
        raise Skipped("the events come from the same server")
    keys, live = Keys(authlog), authlog.sign_up(name)
    try:
        with example.another(KEYS_MAX_AGE_MS="3000", AUTHLOG_URL=keys.url) as other:
            turns = {"hangs": "stale", "answers": "accepted", "endless": "stale", "adds": "accepted", "retires": "invalid"}
            for does, wanted in turns.items():
                keys.does = does
                other.eventually(wanted, live)
                if does == "hangs":
                    keys.ends.set()
    finally:
        keys.stop()


def set_up_is_slow(authlog, nats, example, name, _options):
    """heartbeats that wait for a slow set-up count as of when they came"""
    if "NATS" not in example.name:
        raise Skipped("it has no set-up")
    keys, slow, live = Keys(authlog), SlowNats(nats), authlog.sign_up(name)
    settings = example.environment | {"AUTHLOG_URL": keys.url, "NATS_URL": slow.url, "MAX_STALENESS_MS": "600"}
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            starting = pool.submit(Example, example.name, example.command, settings)
            eventually(lambda: keys.asked and slow.heartbeats and slow.held, "it waits for NATS")
            try:
                with authlog.frozen():
                    # How long the set-up takes. It is longer than the greatest age, and shorter than the longest silence.
                    time.sleep(1)
                    slow.release()
                    try:
                        expect(starting.result(5).says(live), "stale")
                    except concurrent.futures.TimeoutError:
                        raise Skipped("its set-up took longer than it permits itself") from None
                starting.result(PATIENCE).eventually("accepted", live)
            finally:
                starting.result(PATIENCE).stop()
    finally:
        slow.stop()
        keys.stop()


def clock_is_off(authlog, _nats, example, name, options):
    """its clock is ten seconds ahead, or behind"""
    for seconds in (10, -10):
        live, ended = authlog.sign_up(f"{name}{seconds:+}"), authlog.sign_up(f"{name}{seconds:+}-2")
        clock = WallClock(options.folder, seconds)
        with example.another(**clock.settings) as other:
            other.eventually("accepted", live)
            authlog.sign_out(ended)
            other.eventually("ended", ended)
            with authlog.frozen():
                other.eventually("stale", live)
            other.eventually("accepted", live)


def time_of_day_jumps(authlog, _nats, example, name, options):
    """the time of day jumps ahead, as after a suspend, and back"""
    live, clock = authlog.sign_up(name), WallClock(options.folder, 0)
    settings = clock.settings | {"KEYS_MAX_AGE_MS": "36000000"}
    with example.another(**settings, MAX_STALENESS_MS="600000") as patient, example.another(**settings) as strict:
        expect(patient.says(live), "accepted")
        with authlog.frozen():
            strict.eventually("stale", live)
            expect(patient.says(live), "accepted")
            clock.set(3000)
            expect(patient.says(live), "stale")
            clock.set(-1800)
            expect(strict.says(live), "stale")
        clock.set(0)
        for it in (patient, strict):
            it.eventually("accepted", live)


class WallClock:
    """A time of day that is wrong, for programs with these settings."""

    def __init__(self, folder, seconds):
        library, self.offset = f"{folder}/wall_clock.so", f"{folder}/offset"
        if not shutil.which("cc"):
            raise Skipped("it needs a C compiler")
        if not os.path.exists(library):
            subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "tests/revocation/wall_clock.c"], check=True)
        self.settings = {"LD_PRELOAD": library, "WALL_CLOCK_OFFSET": self.offset}
        self.set(seconds)

    def set(self, seconds):
        with open(f"{self.offset}.new", "w") as file:
            file.write(str(seconds))
        os.rename(f"{self.offset}.new", self.offset)


CHECKS = [
    ends_sessions, keeps_a_session, sees_own_logout, refuses_malformed, stays_current, fails_closed, catches_up, survives_a_wiped_stream,
    survives_a_lost_consumer, survives_a_restart, log_ends_earlier, log_has_other_events, follows_the_keys, keys_grow_old,
    set_up_is_slow, clock_is_off, time_of_day_jumps,
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--python", required=True, help="with the packages of requirements.txt")
    parser.add_argument("--typescript", required=True, help="the folder with the compiled example")
    parser.add_argument("--rust", help="the program `protected_service` of the crate; without it, it is left out")
    parser.add_argument("--only", default="", help="the examples whose name has this text")
    parser.add_argument("--check", default="", help="the checks whose line has this text")
    parser.add_argument("--away", type=float, default=5, metavar="SECONDS", help="how long the NATS server is away")
    options = parser.parse_args()
    options.folder = folder = tempfile.mkdtemp(prefix="authlog-revocation-")
    nats = Nats(f"{folder}/nats")
    authlog = Authlog(options.program, f"{folder}/data", nats.url)
    running, failed = [authlog, nats], 0
    try:
        authlog.run("user", "create", "--username", "root", "--role", "admin", given=PASSWORD)
        created = authlog.run("client", "create", "--json", "--id", "orders", "--name", "Orders", "--grant", "client_credentials",
                              "--scope", "events.read")
        feed = {"CLIENT_ID": "orders", "CLIENT_SECRET": json.loads(created)["secret"]}
        commands = {
            "Python": [options.python, "-B", "examples/revocation/python/service.py"],
            "TypeScript": ["node", f"{options.typescript}/service.js"],
        }
        if options.rust:
            commands["Rust"] = [options.rust]
        rules = {
            "Python": [options.python, "-B", "tests/revocation/check_rules.py"],
            "TypeScript": ["node", "tests/revocation/check_rules.mjs", options.typescript],
        }
        for language, command in rules.items():
            if options.only.lower() in language.lower() and not options.check:
                failed += subprocess.run(command).returncode != 0
        for language, command in commands.items():
            for source, settings in (("feed", feed), ("NATS", {"NATS_URL": nats.url})):
                name = f"{language} over {source}" if source == "NATS" else f"{language}, feed"
                if options.only.lower() not in name.lower():
                    continue
                before = authlog.signed_out(f"{language}-{source}-before".lower())
                authlog.sign_up(f"{language}-{source}-live".lower())
                environment = settings | {"AUTHLOG_URL": authlog.url, "ISSUER": "authlog", "LISTEN": "127.0.0.1:0", "no_proxy": "*"}
                example = Example(name, command, environment)
                running.append(example)
                failed += check(example, "what ended before it started", lambda: expect(example.says(before), "ended"))
                for number, run in enumerate(CHECKS):
                    account = f"{language}-{source}-{number}".lower()
                    if options.check in run.__doc__:
                        failed += check(example, run.__doc__, lambda: run(authlog, nats, example, account, options))
                example.stop()
    finally:
        for process in running:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


def check(example, what, run):
    try:
        run()
        verdict, failed = "passed", False
    except Skipped as reason:
        verdict, failed = f"skipped: {reason}", False
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        verdict, failed = f"FAILED: {error}", True
    print(f"{example.name}: {what}: {verdict}", flush=True)
    return failed


if __name__ == "__main__":
    main()
