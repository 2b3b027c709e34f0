"""A mail server for the tests: prints its port, then each message that it takes, as lines of JSON."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def argument(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        refusal = argument("--refuse-sender")
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown@"):
            return f"550 5.1.1 <{address}>: no mailbox of {address.split('@')[0]} here"
        if address.startswith("relayed@"):
            return argument("--refuse-relaying") or "550 5.7.1 Relaying denied"
        if address.startswith("busy@"):
            return "451 4.7.1 Come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = {
            "host": session.host_name,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.original_content.decode("utf-8"),
        }
        refusal = argument("--refuse-message")
        if refusal:
            return refusal
        print(json.dumps(message), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    success = data.login == b"user" and data.password == b"pass@word"
    # Unhandled: the answer is the library's to send.
    return AuthResult(success=success, handled=False)


async def main():
    options = {"hostname": "mail.example", "enable_SMTPUTF8": "--ascii" not in sys.argv}
    context = None
    if argument("--certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(argument("--certificate"))
    if "--starttls" in sys.argv:
        options.update(tls_context=context, require_starttls=True)
        context = None
    if "--auth" in sys.argv:
        options.update(authenticator=authenticate, auth_required=True, auth_require_tls=False)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), loop=loop, **options), "127.0.0.1", 0, ssl=context)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    await server.serve_forever()


asyncio.run(main())
