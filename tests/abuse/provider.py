"""The fake provider of the abuse suite: one port, three dialects, many requests at once.

What it does with a request is the play that the request names in its prompt, `[[name]]`; without
one, or with `[[well]]`, it answers well. A play is a function from `Heard` to the steps of
`tests.support.steps`:

    provider.plays["cut"] = lambda heard: [*told(heard.speech.opening, end=False), rst()]

Scripts that were `add`ed take the next requests, whatever they say (for faults before the request
is read). Usage is exact: `tokens(words)` for the words of the request.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.abuse.speech import PATHS, Speech
from tests.support.steps import Expect, Fin, Hang, Rst, Script, Send, Sleep, Step, flat
from tests.support.upstream import ScriptedUpstream
from tests.support.wire import GoneError, Received, Wire, reset, write

_NAME = re.compile(rb"\[\[([^\]]+)\]\] ?([^\"\\]*)")


@dataclass(frozen=True)
class Heard:
    """One request, read whole: which dialect, whether it wants a stream, which play and what
    further words it named, and the answer that would be good."""

    received: Received
    dialect: str
    stream: bool
    play: str
    words: str
    speech: Speech

    def well(self) -> Script:
        """The good answer, in the form that was asked for."""
        return self.speech.stream() if self.stream else self.speech.answer()


Play = Callable[[Heard], Script]


def tokens(words: str) -> tuple[int, int]:
    """Input and output tokens of the answer to these words."""
    return 10 + len(words), 3 + len(words) % 7


class Provider(ScriptedUpstream):
    """See the module docstring. `busy` counts connections with a request that is not answered."""

    answers = 0
    """How many all providers gave; part of their ids."""

    def __init__(self, *scripts: Script, default: Script | None = None) -> None:
        super().__init__(*scripts, default=default)
        self.plays: dict[str, Play] = {}
        self.busy = 0
        self.left: dict[str, float] = {}
        """When (`perf_counter`) the gateway hung up on a request, by the request's words."""
        self.keeps = True
        """Whether `requests` keeps what was read; the soak lets it go."""

    async def _serve(self, wire: Wire) -> bool:
        while not wire.buffer:
            await wire.wait()
        self.busy += 1
        try:
            if self.scripts:
                return await super()._serve(wire)
            await self._read(wire, True)
            received = next(r for r in reversed(self.requests) if r.connection == wire.number)
            if not self.keeps:
                self.requests.remove(received)
            Provider.answers += 1
            heard = understood(received, Provider.answers)
            if heard.play == "well":
                script = heard.well()
            else:
                script = self.plays[heard.play](heard)
            try:
                return await _act(wire, flat(script))
            except (GoneError, OSError):
                self.left[heard.words] = time.perf_counter()
                raise
        finally:
            self.busy -= 1
            self._changed.set()


def understood(received: Received, number: int) -> Heard:
    """What a request asks for."""
    body = received.json()
    dialect = PATHS[received.target.split("?")[0]]
    found = _NAME.search(received.body)
    play, words = (found[1].decode(), found[2].decode()) if found is not None else ("well", "")
    words = words.split(" prompt-", 1)[0]
    usage = (body.get("stream_options") or {}).get("include_usage", False)
    said = ("said: ", words or "well", " \U0001f600.")
    speech = Speech(dialect, said, tokens(words), str(body.get("model", "m")), bool(usage), number)
    return Heard(received, dialect, bool(body.get("stream")), play, words, speech)


async def _act(wire: Wire, script: list[Step]) -> bool:
    """Take the steps. False when the connection is finished."""
    for step in script:
        if isinstance(step, Send):
            await write(wire, step)
        elif isinstance(step, Sleep):
            await wire.rest(step.seconds)
        elif isinstance(step, Hang):
            await wire.rest(None)
        elif isinstance(step, Expect):
            raise TypeError("a play has read its request already")
        elif isinstance(step, Rst | Fin):
            await wire.writer.drain()
            if isinstance(step, Rst):
                reset(wire.writer)
            return False
    return True


def encoded(text: str) -> str:
    """A text as it stands inside of JSON."""
    return json.dumps(text)[1:-1]
