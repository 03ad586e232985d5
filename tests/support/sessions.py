"""A WebSocket session of the Responses API as a test thinks of it: creates and their answers."""

import asyncio
import json
from typing import Any, Self

from tests.support.gateway import CALLER_KEY, Gateway
from websockets.asyncio.client import ClientConnection, connect

__all__ = ["Answer", "Talk", "brief", "calls_of", "outputs_for"]

ENDS = ("response.completed", "response.failed", "response.incomplete")


class Answer:
    """What came back for one create: its events, the last of which says how it ended."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events

    @property
    def last(self) -> dict[str, Any]:
        """The last event."""
        return self.events[-1]

    @property
    def kinds(self) -> list[str]:
        """Types of the events."""
        return [event["type"] for event in self.events]

    @property
    def response(self) -> dict[str, Any]:
        """The final response object."""
        assert self.last["type"] in ENDS, self.last
        found: dict[str, Any] = self.last["response"]
        return found

    @property
    def id(self) -> str:
        """Of the response."""
        return str(self.response["id"])

    @property
    def output(self) -> list[dict[str, Any]]:
        """Items of the response, which has to be complete."""
        assert self.last["type"] == "response.completed", self.last
        found: list[dict[str, Any]] = self.response["output"]
        return found

    @property
    def text(self) -> str:
        """All text of the output."""
        return "".join(
            part.get("text", "")
            for item in self.output
            if item["type"] == "message"
            for part in item["content"]
        )

    @property
    def refused(self) -> tuple[int, str | None, str | None]:
        """Status, code and param of the error frame that this has to be."""
        (event,) = self.events
        assert event["type"] == "error", event
        assert set(event) == {"type", "status", "error"}, event
        error = event["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert error["message"]
        assert error["type"]
        return event["status"], error["code"], error["param"]


class Talk:
    """One connection. `async with Talk.to(gateway) as talk`."""

    def __init__(self, dialing: connect) -> None:
        self._dialing = dialing
        self.socket: ClientConnection

    @classmethod
    def to(
        cls,
        gateway: Gateway,
        key: str = CALLER_KEY,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> "Talk":
        """Dial with a key; `more` goes to `websockets`."""
        sent = {"authorization": f"Bearer {key}", **(headers or {})}
        url = f"ws://127.0.0.1:{gateway.port}/v1/responses"
        return cls(connect(url, additional_headers=sent, **more))

    async def __aenter__(self) -> Self:
        self.socket = await self._dialing
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.socket.close()

    async def say(self, model: str, said: Any = "hi", **more: Any) -> None:
        """Send a create; `store` is false unless told otherwise, None leaves it out."""
        body = {"type": "response.create", "model": model, "input": said, "store": False, **more}
        if body["store"] is None:
            del body["store"]
        await self.socket.send(json.dumps(body))

    async def hear(self, within: float = 10.0) -> Answer:
        """Everything up to the end of one answer: the last event of a response, or an error with a
        status. An error without one belongs to a response that fails right after."""
        events: list[dict[str, Any]] = []
        async with asyncio.timeout(within):
            while True:
                event = json.loads(await self.socket.recv())
                events.append(event)
                if event["type"] in ENDS or (event["type"] == "error" and "status" in event):
                    break
        numbers = [event["sequence_number"] for event in events if "sequence_number" in event]
        assert numbers == list(range(len(numbers))), numbers
        return Answer(events)

    async def ask(self, model: str, said: Any = "hi", **more: Any) -> Answer:
        """A create and its answer."""
        await self.say(model, said, **more)
        return await self.hear()

    async def raw(self, frame: str) -> Answer:
        """Any text message and its answer."""
        await self.socket.send(frame)
        return await self.hear()


def brief(answer: Answer) -> str:
    """How it ended, in a word."""
    if answer.last["type"] == "error":
        return str(answer.last["error"]["code"])
    return str(answer.last["type"])


def calls_of(answer: Answer) -> list[dict[str, Any]]:
    """The calls that a client has to answer."""
    return [item for item in answer.output if item["type"] in ("function_call", "custom_tool_call")]


def outputs_for(answer: Answer, says: str = "sunny") -> list[dict[str, Any]]:
    """Results for all calls of an answer."""
    return [
        {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": f"{says} {n}"}
        for n, call in enumerate(calls_of(answer))
    ]
