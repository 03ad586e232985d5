"""Live tailing through Redis or Valkey streams.

A run that one gateway works on is followed from another at once. Only that: the database is the
truth, so a stream may be cut, lost, or not there at all, and whoever follows asks the database when
nothing comes. Needs `redis` (the extra `redis`); importing this module without it fails.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from portico.state.records import Logged
from portico.state.tail import Tail

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
MOST_EVENTS = 1000
"""Kept per stream, about: who is further behind reads the database."""
MOST_BYTES = 16 * 1024 * 1024
"""Of one `publish`; followers read more than that from the database."""
KEPT_SECONDS = 300
READ_AT_ONCE = 500
SILENT_SECONDS = 5.0
"""How long nothing is published after a failure."""
QUIET_SECONDS = 60.0
"""Between two lines of the log about a server that does not answer."""
FOLLOWERS = 1000
"""Connections: a follower that waits holds one."""

logger = logging.getLogger("portico.store")

_FAULTS = (RedisError, OSError, asyncio.TimeoutError, ValueError)


class RedisTail(Tail):
    """A `Tail` on the server at `url`. Connects when it is first used, and again when it must."""

    def __init__(self, url: str) -> None:
        self._silent_until = 0.0
        self._redis = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            max_connections=FOLLOWERS,
            decode_responses=False,
            # Once more, and at once: for connections that a restart of the server has closed.
            # What is appended has its number, so it cannot be there twice.
            retry=Retry(NoBackoff(), 1),
        )
        self._said = -QUIET_SECONDS

    async def publish(self, tenant: bytes, id: str, events: Sequence[Logged]) -> None:
        """Append to the stream of the run. The entry ids are the event numbers, so that a follower
        starts behind any of them."""
        if time.monotonic() < self._silent_until:
            return  # the commits that wait for this do not wait for a server that is away
        if not events or sum([len(event.data) for event in events]) > MOST_BYTES:
            return
        key = _key(tenant, id)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for event in events:
                        pipe.xadd(
                            key,
                            {b"d": event.data},
                            id=f"{event.number + 1}-0",  # 0-0 is not an id
                            maxlen=MOST_EVENTS,
                            approximate=True,
                        )
                    pipe.expire(key, KEPT_SECONDS)
                    answers = await pipe.execute(raise_on_error=False)
        except _FAULTS as error:
            self._failed(error)
            return
        for answer in answers:
            # A number that is there already is refused, and that is well.
            if isinstance(answer, RedisError) and "equal or smaller" not in str(answer):
                self._failed(answer)

    async def follow(self, tenant: bytes, id: str, after: int, wait: float) -> list[Logged]:
        """The events behind number `after` that are there, or the first that come within `wait`
        seconds. Empty when none do, when there is a gap, or when the server does not answer."""
        key = _key(tenant, id)
        end = time.monotonic() + wait
        try:
            async with asyncio.timeout(wait + ANSWER_SECONDS):
                found = await self._redis.xread(
                    {key: f"{max(after, -1) + 1}-0"},
                    count=READ_AT_ONCE,
                    block=max(1, int(wait * 1000)),
                )
        except _FAULTS as error:
            self._failed(error)
            # A caller that asks in a loop does not spin while the server is away.
            await asyncio.sleep(max(0.0, end - time.monotonic()))
            return []
        return _logged(found, after)

    async def close(self) -> None:
        """Disconnect. Nothing can be asked after it."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.aclose()
        except _FAULTS as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        self._silent_until = now + SILENT_SECONDS
        if now - self._said >= QUIET_SECONDS:
            self._said = now
            logger.warning(
                "redis does not answer; runs are followed through the database: %r", error
            )


def _key(tenant: bytes, id: str) -> bytes:
    """Bounded, and without what a caller wrote."""
    name = blake2b(tenant + id.encode(errors="replace"), digest_size=20).hexdigest()
    return b"portico:run:" + name.encode()


def _logged(found: Any, after: int) -> list[Logged]:
    """The entries of an XREAD answer (a list of pairs, or a map under RESP3), up to a gap."""
    events: list[Logged] = []
    streams = found.values() if isinstance(found, dict) else [pair[1] for pair in found or ()]
    for entries in streams:
        # RESP3 wraps the entries of a stream in one more list.
        if entries and entries[0] and isinstance(entries[0][0], (list, tuple)):
            entries = entries[0]  # noqa: PLW2901
        for name, fields in entries:
            number = int(name.partition(b"-")[0]) - 1
            if number != max(after, -1) + 1 + len(events):
                break  # cut off in front, or written out of order: the database knows
            events.append(Logged(number, fields[b"d"]))
    return events
