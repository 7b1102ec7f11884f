"""`llmlab serve`: open the lab in a browser, also over an SSH tunnel."""

import asyncio
import getpass
import re
import secrets
import socket

import click

from lab.cli.command_registry import INTERRUPTED, Within
from lab.core.errors import UserError
from lab.core.limits import Limit
from models.installation import install_command

LOOPBACK = "127.0.0.1"
"""The only address that is listened on: no other machine reaches it."""
SECRET_BYTES = 16
PORTS = Limit(0, 65535)
HOST = re.compile(r"[a-z\d._-]+|[\da-f]*:[\da-f]*:[\da-f:]*")


@click.command(short_help="Open the lab in a browser.")
@click.option("--port", type=Within(PORTS), default=8000, show_default=True, metavar="N", help="Port; 0 takes any free one.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Name of a proxy through which it is reached.")
def serve(port: int, hosts: tuple[str, ...]) -> int:
    """Serve the lab to a browser on this machine, or to yours through an SSH tunnel.

    It listens on 127.0.0.1 only, and the address holds a secret, for other users of this machine. Each page is a lab of its own;
    closing it quits that lab, and training goes on; where the connection is lost, it finds its lab again for an hour. Needs the
    extra `web`, and says how to install it.
    """
    try:
        from lab.cli.lab_server import LabServer
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "textual_serve"):
            raise
        raise UserError(f"`llmlab serve` needs the extra `web`: `{install_command('web')}` adds it.") from error

    if wrong := [host for host in hosts if not HOST.fullmatch(host.lower())]:
        raise UserError(f"{wrong[0]!r} is not the name of a host; --host takes one such as lab.example.org alone.")
    listening = _listen(port)
    port = listening.getsockname()[1]
    secret = secrets.token_urlsafe(SECRET_BYTES)

    def say_where() -> None:
        click.echo(f"The lab is at http://{LOOPBACK}:{port}/{secret}/")
        click.echo("From another machine, open a tunnel there first, then the same address in its browser:")
        click.echo(f"  ssh -L {port}:{LOOPBACK}:{port} {_user()}@{socket.gethostname()}")
        click.echo("Ctrl-C ends it; a run that is training keeps training.")

    asyncio.run(LabServer(secret, hosts).serve(listening, say_where))
    return INTERRUPTED


def _user() -> str:
    """The user's name; `you` for a user number without a name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "you"


def _listen(port: int) -> socket.socket:
    """A socket that listens on this machine's own address. Raises UserError where the port is taken or not allowed."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"Port {port} cannot be used ({error.strerror}): choose another with --port, or 0 for any free one."
        ) from error
    return listening
