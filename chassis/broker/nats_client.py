"""The connection to the broker: nats-py, with a read loop that survives malformed input.

nats-py's read loop ends at an exception. The connection stays open, and the service receives
nothing any more. `NatsClient` removes the causes that a publisher or a slow broker can bring about.

For that it needs private names of nats-py. This file is the only one that uses any:

    parser.MSG_RE, HMSG_RE    take a form feed in a subject for its end, which is then a protocol
                              error: the client disconnects, and JetStream delivers the message
                              again. Only a space ends a subject (NATS protocol, "MSG").
                              nats-io/nats.py#790 replaces this parser.
    Client._build_message     raises UnicodeDecodeError on a subject that is not UTF-8. nats-server
                              accepts such subjects (nats-io/nats.rs#1573).
    Client._process_headers   raises IndexError or UnicodeDecodeError on a malformed status line.
                              (nats-io/nats.py#924 was the same for the lines behind it.)
    Client._process_pong      raises InvalidStateError when the answer to a `flush` comes after its
                              timeout. (nats-io/nats.py#624 was the same in the flusher.)
    Client._process_err       closes the client for good at most errors that the broker sends, such
                              as an expired credential. The broker ends the connection itself where
                              it has to; the client then connects again.
    Client._connect_command   sends the password in plain text to a `tls://` server that offers no
                              TLS.

It also replaces nats.aio.client.TcpTransport, by public names alone: see `_Transport`.

The patterns and the transport are replaced for every client of the process. Importing this file
raises ConfigurationError when nats-py is not of the version that these names were read in.
"""

import asyncio
import logging
import re
import ssl
from contextlib import suppress
from importlib.metadata import version

from nats.aio import client as nats_py
from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.errors import Error as NatsError
from nats.protocol import parser

from saga.errors import ConfigurationError

log = logging.getLogger(__name__)

PIGGYBACK_SECONDS = 0.02
CLOSE_SECONDS = 1.0

_KNOWN_VERSION = "2.16."
_USED = {
    parser: ("MSG_RE", "HMSG_RE"),
    Client: (
        "_build_message",
        "_connect_command",
        "_process_err",
        "_process_headers",
        "_process_pong",
    ),
}


def check_version(installed: str) -> None:
    """Raises ConfigurationError when this file may not fit the installed version of nats-py."""
    missing = [name for owner, names in _USED.items() for name in names if not hasattr(owner, name)]
    if not installed.startswith(_KNOWN_VERSION) or missing:
        lacks = f", which lacks {', '.join(missing)}" if missing else ""
        raise ConfigurationError(
            f"chassis/broker/nats_client.py is written for nats-py {_KNOWN_VERSION}*, and version "
            f"{installed} is installed{lacks}. Install the locked requirements (make install)"
        )


check_version(version("nats-py"))

_WORD = rb"([^ \r\n]+)"
parser.MSG_RE = re.compile(rb"\AMSG %s %s (%s )?(\d+)\r\n" % (_WORD, _WORD, _WORD))
parser.HMSG_RE = re.compile(rb"\AHMSG %s %s (%s )?(\d+) (\d+)\r\n" % (_WORD, _WORD, _WORD))


class _Closed(ConnectionResetError, RuntimeError):
    """uvloop raises RuntimeError on a closed connection, where nats-py expects an OSError."""


class _Transport(TcpTransport):
    """The connection to one server.

    nats-py waits for its end before it tries another server. With a server that hangs, that would
    be the kernel's time-out for what is still to be sent: a quarter of an hour.
    """

    def write(self, payload: bytes) -> None:
        try:
            super().write(payload)  # type: ignore[no-untyped-call]  # nats-py's
        except RuntimeError as error:
            raise _Closed(str(error)) from error

    def writelines(self, payload: list[bytes]) -> None:
        try:
            super().writelines(payload)  # type: ignore[no-untyped-call]  # nats-py's
        except RuntimeError as error:
            raise _Closed(str(error)) from error

    async def wait_closed(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().wait_closed()  # type: ignore[no-untyped-call]  # nats-py's


nats_py.TcpTransport = _Transport  # type: ignore[attr-defined]  # it does not re-export the name


class NatsClient(Client):
    """A nats-py client whose read loop survives malformed input, with two additions.

    `flush` returns when the broker has read everything that was sent before it, and `piggyback`
    sends a message for which nothing waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self._piggybacked: list[tuple[str, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._had_handshake = False

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What the client asks for before a TLS handshake, and at no other time."""
        self._had_handshake = True
        return super().ssl_context

    def piggyback(self, subject: str, payload: bytes) -> None:
        """Send this before the next message, or `PIGGYBACK_SECONDS` later if there is none.

        Each write wakes the broker, so a message of its own costs more. Without a connection it is
        not sent.
        """
        if not self.is_connected:
            return
        self._piggybacked.append((subject, payload))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PIGGYBACK_SECONDS, self._send_soon)

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        if self._piggybacked:
            await self._send_piggybacked()
        await super().publish(subject, payload, reply, headers)

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:  # noqa: ASYNC109 - its name
        """Wait until the broker has read everything that was sent. Raises NatsError.

        Twice, because nats-py's PING overtakes what waits to be written. `timeout` is for each.
        """
        await self._send_piggybacked()
        await super().flush(timeout)
        await super().flush(timeout)

    async def close(self) -> None:
        with suppress(_Closed):  # of what was to be sent to a server that is gone
            await super().close()

    async def read_headers(self, block: bytes) -> dict[str, str]:
        """The headers in a block of them, as it stands before a message's body."""
        return await self._process_headers(block) or {}

    def _send_soon(self) -> None:
        self._timer = None
        if self._piggybacked:
            self._sending = asyncio.create_task(self._send_piggybacked())

    async def _send_piggybacked(self) -> None:
        waiting, self._piggybacked = self._piggybacked, []
        for subject, payload in waiting:
            try:
                await super().publish(subject, payload)
            except NatsError as error:
                log.warning("a message was not sent", extra={"error": repr(error)})

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None

    async def _process_err(self, err_msg: str) -> None:
        if any(known in err_msg for known in (parser.STALE_CONNECTION, parser.PERMISSIONS_ERR)):
            await super()._process_err(err_msg)
        else:
            log.warning("the broker reports an error", extra={"error": err_msg})

    def _connect_command(self) -> bytes:
        is_encrypted, self._had_handshake = self._had_handshake, False
        if "tls" in self.options and not is_encrypted:
            raise NatsError("the server offers no TLS, which the settings require")
        return super()._connect_command()

    async def _process_pong(self) -> None:
        with suppress(asyncio.InvalidStateError):  # its flush has timed out
            await super()._process_pong()

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return self.msg_class(
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _client=self,
            _sid=sid,
        )
