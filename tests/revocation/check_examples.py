"""Checks the examples in Python, TypeScript and Rust against Authlog, over the feed and over NATS: `scripts/revocation.sh` starts this.

Prints one line for each check of each example, and ends with code 1 if one failed.
"""

import argparse
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = 60
PASSWORD = "correct horse battery"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


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
        line = self.running.stdout.readline()
        if not line.startswith("listening on "):
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
        self.program = program
        self.environment = {
            "PATH": os.environ["PATH"], "AUTHLOG_LISTEN": "127.0.0.1:0", "AUTHLOG_DATA_DIR": folder, "AUTHLOG_RATE_LIMIT": "off",
            "AUTHLOG_NATS_URL": nats, "AUTHLOG_LOG": "warn", "AUTHLOG_ARGON2_MEMORY_KIB": "1024", "AUTHLOG_ARGON2_ITERATIONS": "1",
        }
        if "AUTHLOG_DATABASE_URL" in os.environ:
            self.environment["AUTHLOG_DATABASE_URL"] = os.environ["AUTHLOG_DATABASE_URL"]
            subprocess.run([program, "migrate"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        super().__init__([program], self.environment)

    def run(self, *arguments, given=""):
        command = [self.program, *arguments]
        return subprocess.run(command, env=self.environment, input=given, text=True, capture_output=True, check=True).stdout

    def call(self, method, path, body=None, token=None, **headers):
        """The index of the last event of the change, if Authlog says it."""
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


class Example(Process):
    def __init__(self, name, command, environment):
        self.name = name
        super().__init__(command, os.environ | environment)

    def says(self, token, **headers):
        status, _, answer = request("GET", self.url + "/protected", None, token, **headers)
        return "accepted" if status == 200 else answer["error"]

    def eventually(self, wanted, token):
        eventually(lambda: self.says(token) == wanted, f"the token is {wanted}, and not {self.says(token)}")


def eventually(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.02)


def expect(found, wanted):
    assert found == wanted, f"{found}, and not {wanted}"


# The checks. Each gets Authlog, NATS, an administrator's token, an example and a name for accounts of its own.


def ends_sessions(authlog, _nats, admin, example, name):
    """a logout, a lock, a change of role and an erasure"""

    def about(method, rest, body=None):
        return lambda token: authlog.call(method, f"/admin/users/{claims(token)['sub']}{rest}", body, admin)

    changes = [
        lambda token: authlog.call("POST", "/api/auth/logout", None, token),
        about("POST", "/lock"),
        about("PUT", "/role", {"role": "auditor"}),
        about("DELETE", ""),
    ]
    for number, change in enumerate(changes):
        token = authlog.sign_up(f"{name}-{number}")
        expect(example.says(token), "accepted")
        change(token)
        example.eventually("ended", token)


def keeps_a_session(authlog, _nats, _admin, example, name):
    """a new password ends every session but one"""
    other, kept = authlog.sign_up(name), authlog.sign_in(name)
    authlog.call("POST", "/account/password", {"current_password": PASSWORD, "new_password": "another-secret"}, kept)
    example.eventually("ended", other)
    expect(example.says(kept), "accepted")


def sees_own_logout(authlog, _nats, _admin, example, name):
    """who signed out sees it at the first request"""
    for number in range(20):
        token = authlog.sign_up(f"{name}-{number}")
        index, _ = authlog.call("POST", "/api/auth/logout", None, token, Prefer="log-index")
        assert index, "no Authlog-Log-Index"
        expect(example.says(token, Authlog_Log_Index=index), "ended")


def refuses_malformed(authlog, _nats, _admin, example, name):
    """tokens that are not valid"""
    token = authlog.sign_up(name)
    head, body, signature = token.split(".")
    for wrong in ("x", "..", "[" * 8000, f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", f"{body}.{head}.{signature}"):
        expect(example.says(wrong), "invalid")
    expect(example.says(token), "accepted")


def stays_current(authlog, _nats, _admin, example, name):
    """the news stays current while nothing happens"""
    token = authlog.sign_up(name)
    for _ in range(400):
        expect(example.says(token), "accepted")
        time.sleep(0.02)


def fails_closed(authlog, _nats, _admin, example, name):
    """Authlog does not answer: the news get too old, and come back"""
    live, ended = authlog.sign_up(name), authlog.sign_up(f"{name}-2")
    authlog.call("POST", "/api/auth/logout", None, ended)
    example.eventually("ended", ended)
    authlog.send(signal.SIGSTOP)
    try:
        example.eventually("stale", live)
        expect(example.says(ended), "ended")
    finally:
        authlog.send(signal.SIGCONT)
    example.eventually("accepted", live)


def catches_up(authlog, nats, _admin, example, name):
    """what ended while NATS was away is refused when it is back"""
    live, ended = authlog.sign_up(name), authlog.sign_up(f"{name}-2")
    expect(example.says(ended), "accepted")
    nats.stop()
    try:
        authlog.call("POST", "/api/auth/logout", None, ended)
        if "NATS" in example.name:
            example.eventually("stale", live)
    finally:
        nats.start()
    example.eventually("accepted", live)
    expect(example.says(ended), "ended")


def survives_a_wiped_stream(authlog, nats, _admin, example, name):
    """the stream is deleted and filled again"""
    live, ended = authlog.sign_up(name), authlog.sign_up(f"{name}-2")
    authlog.call("POST", "/api/auth/logout", None, ended)
    example.eventually("ended", ended)
    nats.stop()
    shutil.rmtree(nats.folder)
    nats.start()
    later = authlog.sign_up(f"{name}-3")
    authlog.call("POST", "/api/auth/logout", None, later)
    example.eventually("ended", later)
    example.eventually("accepted", live)
    expect(example.says(ended), "ended")


CHECKS = [
    ends_sessions, keeps_a_session, sees_own_logout, refuses_malformed, stays_current, fails_closed, catches_up,
    survives_a_wiped_stream,
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--python", required=True, help="with the packages of requirements.txt")
    parser.add_argument("--typescript", required=True, help="the folder with the compiled example")
    parser.add_argument("--rust", help="the program `protected_service` of the crate; without it, it is left out")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="authlog-revocation-")
    nats = Nats(f"{folder}/nats")
    authlog = Authlog(options.program, f"{folder}/data", nats.url)
    running, failed = [authlog, nats], 0
    try:
        authlog.run("user", "create", "--username", "root", "--role", "admin", given=PASSWORD)
        admin = authlog.sign_in("root")
        created = authlog.run("client", "create", "--json", "--id", "orders", "--name", "Orders", "--grant", "client_credentials",
                              "--scope", "events.read")
        feed = {"CLIENT_ID": "orders", "CLIENT_SECRET": json.loads(created)["secret"]}
        commands = {
            "Python": [options.python, "-B", "examples/revocation/python/service.py"],
            "TypeScript": ["node", f"{options.typescript}/service.js"],
        }
        if options.rust:
            commands["Rust"] = [options.rust]
        before = authlog.sign_up("ended-before")
        authlog.call("POST", "/api/auth/logout", None, before)
        # So the last event is another one, and later by more than a second, to which the example over NATS rounds.
        time.sleep(1.1)
        authlog.sign_up("live")
        for language, command in commands.items():
            for source, settings in (("feed", feed), ("NATS", {"NATS_URL": nats.url})):
                name = f"{language} over {source}" if source == "NATS" else f"{language}, feed"
                if options.only.lower() not in name.lower():
                    continue
                environment = settings | {"AUTHLOG_URL": authlog.url, "ISSUER": "authlog", "LISTEN": "127.0.0.1:0", "no_proxy": "*"}
                example = Example(name, command, environment)
                running.append(example)
                failed += check(example, "what ended before it started", lambda it: expect(it.says(before), "ended"))
                for number, run in enumerate(CHECKS):
                    account = f"{language}-{source}-{number}".lower()
                    failed += check(example, run.__doc__, lambda it: run(authlog, nats, admin, it, account))
                example.stop()
    finally:
        for process in running:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


def check(example, what, run):
    try:
        run(example)
        verdict, failed = "passed", False
    except (AssertionError, RuntimeError, OSError) as error:
        verdict, failed = f"FAILED: {error}", True
    print(f"{example.name}: {what}: {verdict}", flush=True)
    return failed


if __name__ == "__main__":
    main()
