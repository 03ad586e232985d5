"""One client connection: bytes to requests, replies to bytes, every limit and deadline between.

The connection reads all the time, also while a request is being served, because a closed socket is
only noticed by reading it: that is how a client that leaves stops the meter at once. Requests that
were pipelined meanwhile wait in a short queue and are answered in order.

A FIN does not say whether the client is gone or has only finished sending. While a reply is owed,
the connection is probed with what HTTP allows at that point (an interim `100 Continue`, or an SSE
comment); a peer that is really gone answers with RST and the next probe fails.
"""

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from portico.errors import BadRequest, InternalError, Overloaded, PorticoError, RequestTimeout
from portico.http.deadlines import NEVER
from portico.http.messages import Conversing, Request
from portico.http.reading import (
    BODY,
    CONTINUE,
    HEAD,
    IDLE,
    LINGER,
    TUNNEL,
    RequestReader,
    StopParsingError,
)
from portico.http.reply import LINGER_SECONDS, SocketReply, linger_none
from portico.http.strict import parser_reason, trailer_fault
from portico.http.websocket import HANDSHAKE_REFUSED, WebSocketConnection

if TYPE_CHECKING:
    from portico.http.server import HttpServer

log = logging.getLogger("portico.http")

MAX_PROBE_GAP = 1.0


class Connection(RequestReader):
    """See the module docstring. Created by `HttpServer.listen` for each accepted socket."""

    __slots__ = (
        "_buffered_seen",
        "_early",
        "_eof",
        "_loop",
        "_probe_gap",
        "_queue",
        "_scheme",
        "_task",
        "last_reply",
        "write_paused",
    )

    def __init__(
        self, server: "HttpServer", loop: asyncio.AbstractEventLoop, scheme: bytes
    ) -> None:
        super().__init__(server)
        self._loop = loop
        self._scheme = scheme
        self._queue: deque[tuple[Request | None, SocketReply, PorticoError | None]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._early = b""
        self._eof = False
        self._probe_gap = 0.0
        self._buffered_seen = 0
        self.last_reply = server.draining
        self.write_paused = False

    # -- transport callbacks ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self.server
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else "unix"
        self._transport.set_write_buffer_limits(server.limits.relay_buffer)
        server.connections.add(self)
        server.sweeper.members.add(self)
        server.events.connections_opened()
        self.deadline = monotonic() + server.deadlines.header
        open_now, most = len(server.connections), server.limits.connections
        if open_now > most:
            server.events.limit_hit("connections")
            if open_now > most + most // 10:
                self._transport.abort()  # a flood is not worth an answer each
            else:
                self._refuse(None, Overloaded("Too many open connections."))

    def connection_lost(self, exc: Exception | None) -> None:
        server = self.server
        server.sweeper.members.discard(self)
        server.events.connections_closed()
        self._parser = None  # it holds us
        self._phase = LINGER
        self._drop_body()
        while self._queue:
            server.buffered_bytes -= self._queue.popleft()[1].held_bytes
        active = self._active
        if active is not None:
            self._active = None
            server.buffered_bytes -= active.held_bytes
            active.detach()
            if self._task is not None:
                self._task.cancel()
        self._task = None
        server.discard(self)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase >= LINGER:
            if phase == TUNNEL:
                self._early += data
                if len(self._early) > self.server.limits.relay_buffer:
                    self._transport.abort()
            return
        size = self._feed_size = len(data)
        if phase == BODY:
            self._body_raw += size
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as offer:
            again = self._again
            if again:
                self._again = b""
                self._parser = HttpRequestParser(self)
                self.data_received(again + data[offer.args[0] :])
                return
            waiting = self._queue[-1][0] if self._queue else None
            if waiting is not None and waiting.upgrade:
                # It has to wait for the replies before it. Little comes meanwhile: a client sends
                # nothing before it is answered (RFC 6455 section 4.1).
                self._phase = TUNNEL
                self._early = data[offer.args[0] :]
                self._next()
                return
            # What follows is another protocol's bytes. The request itself is served as HTTP.
            self.last_reply = True
            self._phase = LINGER
            return
        except HttpParserCallbackError as error:
            if self._phase == LINGER:
                return
            fault, self._fault = self._fault, None
            if fault is None:
                log.error("defect in the request parser's callbacks", exc_info=error)
                fault = InternalError("Internal error.")
            self._refuse(self._request, fault)
            return
        except HttpParserError as error:
            self.server.events.http_rejected("malformed")
            fault = BadRequest(f"Malformed HTTP: {parser_reason(error)}.", code="bad_http")
            self._refuse(self._request, fault)
            return
        phase = self._phase
        if phase == IDLE:
            return
        if phase == HEAD:
            self._head_incomplete(size)
        elif phase == BODY:
            self._body_incomplete()

    def eof_received(self) -> bool:
        if self._scheme == b"https" or (self._active is None and not self._queue):
            return False
        self._eof = True
        self._probe(monotonic())
        return True

    def pause_writing(self) -> None:
        self.write_paused = True
        self._buffered_seen = self._transport.get_write_buffer_size()
        self.deadline = monotonic() + self.server.deadlines.write
        if self._active is not None and self._active.source is not None:
            self._active.source.pause()

    def resume_writing(self) -> None:
        self.write_paused = False
        active = self._active
        if active is not None:
            self.deadline = monotonic() if self._eof else NEVER
            if active.source is not None:
                active.source.resume()
        elif self._queue:
            self._loop.call_soon(self._next)
        elif self._phase != LINGER:
            self.deadline = self._reading_deadline()

    def on_message_complete(self) -> None:
        request = self._request
        if request is None:  # to be read again without its upgrade
            return
        if self._trailers:
            if len(self._trailers) > self.server.limits.header_count:
                self._limit("headerCount", "Too many trailer fields.", 431)
            fault = trailer_fault(self._trailers)
            if fault is not None:
                self._bad(fault)
            self._headers = {}
        body = self._body
        reply = SocketReply(self, self._transport.write)
        if body:
            request.body = body[0] if len(body) == 1 else b"".join(body)
            self._body = []
            self._body_size = 0
            reply.held_bytes = self._held
            self._held = 0
        if self._body_raw:
            self._restart_body()
        self._url = b""
        self._request = None
        self._phase = IDLE
        if not self._parser.should_keep_alive():
            reply.keep_alive = False
        if self._version_10:
            reply.version_10 = True
        if request.method == b"HEAD":
            reply.head_only = True
        if (
            self._active is None
            and not self._queue
            and not self.write_paused
            and not request.upgrade
        ):
            self._serve(request, reply)
        elif len(self._queue) < self.server.limits.pipelined_requests:
            self._queue.append((request, reply, None))
        else:
            # Answer what is queued, then close: reading on unanswered would need more memory, and
            # not reading would blind the disconnect watch.
            self.server.events.limit_hit("pipelinedRequests")
            self.server.buffered_bytes -= reply.held_bytes
            self._queue[-1][1].keep_alive = False
            self._phase = LINGER
            raise StopParsingError

    # -- serving ------------------------------------------------------------------------------

    def _serve(self, request: Request, reply: SocketReply) -> None:
        self._active = reply
        self.deadline = monotonic() if self._eof else NEVER
        self._task = self._loop.create_task(self._run(request, reply))

    async def _run(self, request: Request, reply: SocketReply) -> None:
        try:
            await self._app.handle(request, reply)
        except Exception:
            log.exception("the application let an exception escape")
        finally:
            if self._active is reply:  # it did not end
                reply.abort()

    def reply_done(self, reply: SocketReply) -> None:
        """The reply wrote its last byte."""
        self._active = None
        self._task = None
        server = self.server
        server.buffered_bytes -= reply.held_bytes
        if not reply.keep_alive or self.last_reply:
            while self._queue:
                server.buffered_bytes -= self._queue.popleft()[1].held_bytes
            self._shut()
        elif self._queue:
            if not self.write_paused:
                self._loop.call_soon(self._next)
        elif self._eof:
            self._shut()
        elif not self.write_paused:
            if self._phase == IDLE:
                self.deadline = monotonic() + server.deadlines.keep_alive
            else:
                self.deadline = self._reading_deadline()

    def _next(self) -> None:
        if self._queue and self._active is None and not self.write_paused:
            request, reply, error = self._queue.popleft()
            if error is not None:
                self._active = reply
                self._app.refuse(request, reply, error)
            elif request is not None:
                if request.upgrade:
                    self._switch(request, reply)
                else:
                    self._serve(request, reply)

    def _switch(self, request: Request, reply: SocketReply) -> None:
        """Speak WebSocket from here on."""
        server = self.server
        if self._eof:
            self._shut()
            return
        if self.last_reply:
            reply.keep_alive = False
            self._phase = LINGER
            self._active = reply
            fault = Overloaded("This gateway is restarting; open the connection again.")
            self._app.refuse(request, reply, fault)
            return
        reply.detach()
        self._parser = None  # it holds us
        early, self._early = self._early, b""
        server.sweeper.members.discard(self)
        app = cast(Conversing, self._app)  # it asked for the upgrade
        socket = WebSocketConnection(server, app, self._loop, request)
        server.replace(self, socket)
        self._transport.set_protocol(socket)
        socket.begin(self._transport, early)

    def _refuse(self, request: Request | None, error: PorticoError) -> None:
        """Answer an error now or in turn, read nothing more as HTTP, and close after it."""
        self._drop_body()
        self._phase = LINGER
        reply = SocketReply(self, self._transport.write)
        reply.keep_alive = False
        if request is not None:
            if request.method == b"HEAD":
                reply.head_only = True
            if request.upgrade:
                reply.closing = HANDSHAKE_REFUSED
        if self._active is not None or self._queue:
            self._queue.append((request, reply, error))
            return
        self._active = reply
        self._app.refuse(request, reply, error)

    def _shut(self) -> None:
        """Close after what was written is flushed, discarding what the client still sends."""
        if self._phase == LINGER and not self._eof:
            self.deadline = monotonic() + LINGER_SECONDS
            if self._transport.can_write_eof():
                self._transport.write_eof()
        else:
            self._phase = LINGER
            self.deadline = monotonic() + self.server.deadlines.write
            self._transport.close()

    # -- deadlines and drain ------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """`Sweeper` found the deadline passed."""
        server = self.server
        if self._active is not None and not self.write_paused:
            if self._eof:
                self._probe(now)
            else:
                self.deadline = NEVER
        elif self.write_paused:
            waiting = self._transport.get_write_buffer_size()
            if waiting < self._buffered_seen:
                self._buffered_seen = waiting
                self.deadline = now + server.deadlines.write
            else:
                server.events.limit_hit("write")
                self._transport.abort()
        elif self._phase == HEAD:
            server.events.limit_hit("header")
            self._refuse(None, RequestTimeout("The request head did not arrive in time."))
        elif self._phase == BODY:
            self._body_late(now)
        elif self._phase == IDLE and not self._eof:
            self._phase = LINGER
            self.deadline = now + LINGER_SECONDS
            self._transport.close()
        else:
            self._transport.abort()

    def drain(self) -> None:
        """Close if idle, otherwise after the current reply."""
        self.last_reply = True
        if self._active is None and self._phase == IDLE and not self._queue:
            self._transport.close()

    def interrupt(self) -> None:
        """Cancel what is being served; the application still may write a last word."""
        if self._task is not None:
            self._task.cancel()
        elif self._active is None:
            self._transport.close()

    def kill(self, *, reset: bool = False) -> None:
        """Close at once; with `reset`, so that the peer sees RST and not an orderly end."""
        if reset:
            linger_none(self._transport)
        self._transport.abort()

    def _probe(self, now: float) -> None:
        reply = self._active
        if reply is None:
            return
        self._probe_gap = min(max(self._probe_gap * 2, 0.05), MAX_PROBE_GAP)
        self.deadline = now + self._probe_gap
        if not reply.started:
            if reply.version_10:
                # Nothing may be said before an HTTP/1.0 answer, and proxies never half-close.
                self._transport.abort()
            else:
                self._transport.write(CONTINUE)
        elif reply.probe:
            reply.write(reply.probe)
