"""Conversations through the official SDKs, the same in all three dialects.

A talk keeps its history as the SDK gave it: output items, messages and content blocks go back as
the objects that came.
"""

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import openai
from msgspec import Struct
from tests.support.gateway import CALLER_KEY

from portico.model.usage import Usage, disjoint

__all__ = [
    "CITY",
    "CLIENTS",
    "ChatTalk",
    "MessagesTalk",
    "ResponsesTalk",
    "Said",
    "Sdks",
    "Talk",
    "talk",
]

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CLIENTS = ("responses", "chat", "messages")


class Call(Struct, frozen=True):
    """`arguments` are decoded for functions, text for free-form tools."""

    id: str
    name: str
    arguments: Any
    namespace: str | None = None


class Said(Struct, kw_only=True):
    """One answer. `finish` is the dialect's own word, `raw` the SDK's object."""

    text: str
    thought: str
    calls: list[Call]
    finish: str
    usage: Usage | None
    losses: str | None
    raw: Any


class Sdks:
    """The SDKs as clients of one gateway. `headers` are those of the last answer."""

    def __init__(self, url: str, key: str = CALLER_KEY) -> None:
        self.url = url
        self.headers: dict[str, str] = {}
        more: Any = {"api_key": key, "max_retries": 0, "timeout": 15}
        self.openai = openai.AsyncOpenAI(
            base_url=f"{url}/v1", http_client=self._web(openai.DefaultAsyncHttpxClient), **more
        )
        self.anthropic = anthropic.AsyncAnthropic(
            base_url=url, http_client=self._web(anthropic.DefaultAsyncHttpxClient), **more
        )

    def _web(self, kind: Any) -> Any:
        async def note(response: Any) -> None:
            self.headers = dict(response.headers)

        return kind(event_hooks={"response": [note]})

    async def close(self) -> None:
        """Close both."""
        await self.openai.close()
        await self.anthropic.close()


class Talk:
    """A conversation with one model. `options` go along with every request."""

    def __init__(self, sdks: Sdks, model: str, tools: Sequence[str] = (), **options: Any) -> None:
        self.sdks = sdks
        self.model = model
        self.tools = tools
        self.options = options
        self.history: list[Any] = []

    def think(self) -> None:
        """Ask for reasoning, with what is needed to send it back."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """The user says something."""
        self.history.append({"role": "user", "content": text})

    def show(self, text: str, *parts: str) -> None:
        """The user says something and shows: `png`, `pdf`, `url`."""
        raise NotImplementedError

    def schema(self, schema: dict[str, Any]) -> None:
        """Ask for JSON that fits."""
        raise NotImplementedError

    def give(self, said: Said, *outputs: str) -> None:
        """What the tools gave, in the order of the calls."""
        raise NotImplementedError

    async def answer(self, *, stream: bool) -> Said:
        """Send, and put the answer into the history."""
        said = await (self._stream() if stream else self._create())
        said.losses = self.sdks.headers.get("x-portico-losses")
        return said

    async def _create(self) -> Said:
        raise NotImplementedError

    async def _stream(self) -> Said:
        raise NotImplementedError


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
"""70 bytes."""
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
"""A beginning: 19 bytes."""


class ResponsesTalk(Talk):
    """Stateless: `store` is false, and reasoning comes encrypted."""

    def think(self) -> None:
        self.options["reasoning"] = {"effort": "medium", "summary": "auto"}
        self.options["include"] = ["reasoning.encrypted_content"]

    def schema(self, schema: dict[str, Any]) -> None:
        inner = {"type": "json_schema", "name": "out", "schema": schema, "strict": True}
        self.options["text"] = {"format": inner}

    def show(self, text: str, *parts: str) -> None:
        shown = {
            "png": {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            "url": {"type": "input_image", "image_url": "https://example.com/a.png"},
            "pdf": {
                "type": "input_file", "filename": "a.pdf",
                "file_data": f"data:application/pdf;base64,{PDF}",
            },
        }  # fmt: skip
        words = {"type": "input_text", "text": text}
        self.history.append({"role": "user", "content": [words, *(shown[each] for each in parts)]})

    def _body(self) -> dict[str, Any]:
        tools = [
            {"type": "function", "name": name, "parameters": CITY, "strict": True}
            for name in self.tools
        ]
        more = {"tools": tools} if tools else {}
        body = {"model": self.model, "input": self.history, "store": False}
        return {**body, **more, **self.options}

    async def _create(self) -> Said:
        return self._said(await self.sdks.openai.responses.create(**self._body()))

    async def _stream(self) -> Said:
        async with self.sdks.openai.responses.stream(**self._body()) as stream:
            events = [event async for event in stream]
            last = events[-1]
            # The helper gives completed answers only.
            whole = last.type == "response.completed"
            final = await stream.get_final_response() if whole else last.response
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[0].type == "response.created"
        assert last.type in ("response.completed", "response.incomplete", "response.failed")
        return self._said(final)

    def _said(self, answer: Any) -> Said:
        self.history = [*self.history, *answer.output]
        calls = [
            Call(
                item.call_id, item.name,
                json.loads(item.arguments) if item.type == "function_call" else item.input,
                item.namespace,
            )
            for item in answer.output
            if item.type in ("function_call", "custom_tool_call")
        ]  # fmt: skip
        thought = "".join(
            part.text
            for item in answer.output
            if item.type == "reasoning"
            for part in (*item.summary, *(item.content or ()))
        )
        told = answer.usage
        usage = told and disjoint(
            input_including_cache=told.input_tokens,
            cache_read=told.input_tokens_details.cached_tokens,
            cache_write=told.input_tokens_details.cache_write_tokens or 0,
            output_including_reasoning=told.output_tokens,
            reasoning=told.output_tokens_details.reasoning_tokens,
        )
        assert told is None or told.total_tokens == told.input_tokens + told.output_tokens
        return Said(
            text=answer.output_text, thought=thought, calls=calls, finish=answer.status,
            usage=usage, losses=None, raw=answer,
        )  # fmt: skip

    def give(self, said: Said, *outputs: str) -> None:
        kinds = {item.call_id: item.type for item in said.raw.output if hasattr(item, "call_id")}
        for call, output in zip(said.calls, outputs, strict=True):
            kind = f"{kinds[call.id]}_output"
            self.history.append({"type": kind, "call_id": call.id, "output": output})


class ChatTalk(Talk):
    """The assistant's message goes back as `model_dump()`, with all that it has."""

    def think(self) -> None:
        self.options["reasoning_effort"] = "medium"

    def schema(self, schema: dict[str, Any]) -> None:
        inner = {"name": "out", "schema": schema, "strict": True}
        self.options["response_format"] = {"type": "json_schema", "json_schema": inner}

    def show(self, text: str, *parts: str) -> None:
        shown = {
            "png": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            "url": {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            "pdf": {
                "type": "file",
                "file": {
                    "filename": "a.pdf",
                    "file_data": f"data:application/pdf;base64,{PDF}",
                },
            },
        }
        words = {"type": "text", "text": text}
        self.history.append({"role": "user", "content": [words, *(shown[each] for each in parts)]})

    def _body(self) -> dict[str, Any]:
        tools = [
            {"type": "function", "function": {"name": name, "parameters": CITY, "strict": True}}
            for name in self.tools
        ]
        more = {"tools": tools} if tools else {}
        return {"model": self.model, "messages": self.history, **more, **self.options}

    async def _create(self) -> Said:
        return self._said(await self.sdks.openai.chat.completions.create(**self._body()))

    async def _stream(self) -> Said:
        async with self.sdks.openai.chat.completions.stream(
            **self._body(), stream_options={"include_usage": True}
        ) as stream:
            async for _ in stream:
                pass
            return self._said(await stream.get_final_completion())

    def _said(self, answer: Any) -> Said:
        choice = answer.choices[0]
        message = choice.message
        dumped = message.model_dump(exclude={"parsed"})
        for call in dumped["tool_calls"] or ():
            call.get("function", {}).pop("parsed_arguments", None)
            call.pop("index", None)  # of the helper's own; a strict server refuses it
        if not dumped["tool_calls"]:
            del dumped["tool_calls"]
        self.history = [*self.history, dumped]
        calls = [
            Call(call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or ()
        ]
        told = answer.usage
        usage = told and disjoint(
            input_including_cache=told.prompt_tokens,
            cache_read=told.prompt_tokens_details.cached_tokens,
            cache_write=told.prompt_tokens_details.cache_write_tokens or 0,
            output_including_reasoning=told.completion_tokens,
            reasoning=told.completion_tokens_details.reasoning_tokens,
        )
        assert told is None or told.total_tokens == told.prompt_tokens + told.completion_tokens
        return Said(
            text=message.content or "", thought=dumped.get("reasoning_content") or "", calls=calls,
            finish=choice.finish_reason, usage=usage, losses=None, raw=answer,
        )  # fmt: skip

    def give(self, said: Said, *outputs: str) -> None:
        for call, output in zip(said.calls, outputs, strict=True):
            self.history.append({"role": "tool", "tool_call_id": call.id, "content": output})


class MessagesTalk(Talk):
    """The content blocks go back as they came."""

    def think(self) -> None:
        self.options["thinking"] = {"type": "enabled", "budget_tokens": 2048}

    def schema(self, schema: dict[str, Any]) -> None:
        self.options["output_config"] = {"format": {"type": "json_schema", "schema": schema}}

    def show(self, text: str, *parts: str) -> None:
        def source(kind: str, data: str) -> dict[str, str]:
            return {"type": "base64", "media_type": kind, "data": data}

        shown = {
            "png": {"type": "image", "source": source("image/png", PNG)},
            "url": {
                "type": "image",
                "source": {"type": "url", "url": "https://example.com/a.png"},
            },
            "pdf": {"type": "document", "source": source("application/pdf", PDF)},
        }
        words = {"type": "text", "text": text}
        self.history.append({"role": "user", "content": [words, *(shown[each] for each in parts)]})

    def say(self, text: str) -> None:
        if self.history and self.history[-1]["role"] == "user":  # results: one message with them
            self.history[-1]["content"].append({"type": "text", "text": text})
        else:
            super().say(text)

    def _body(self) -> dict[str, Any]:
        tools = [{"name": name, "input_schema": CITY} for name in self.tools]
        more = {"tools": tools} if tools else {}
        body = {"model": self.model, "messages": self.history, "max_tokens": 8192}
        return {**body, **more, **self.options}

    async def _create(self) -> Said:
        return self._said(await self.sdks.anthropic.messages.create(**self._body()))

    async def _stream(self) -> Said:
        async with self.sdks.anthropic.messages.stream(**self._body()) as stream:
            async for _ in stream:
                pass
            return self._said(await stream.get_final_message())

    def _said(self, answer: Any) -> Said:
        self.history = [*self.history, {"role": "assistant", "content": answer.content}]
        calls = [
            Call(block.id, block.name, block.input)
            for block in answer.content
            if block.type == "tool_use"
        ]
        thought = "".join(block.thinking for block in answer.content if block.type == "thinking")
        told = answer.usage
        details = told.output_tokens_details
        reasoning = details.thinking_tokens if details is not None else 0
        usage = Usage(
            input_uncached=told.input_tokens,
            cache_read=told.cache_read_input_tokens or 0,
            cache_write=told.cache_creation_input_tokens or 0,
            output_text=told.output_tokens - reasoning,
            reasoning=reasoning,
        )
        return Said(
            text="".join(block.text for block in answer.content if block.type == "text"),
            thought=thought, calls=calls, finish=answer.stop_reason, usage=usage, losses=None,
            raw=answer,
        )  # fmt: skip

    def give(self, said: Said, *outputs: str) -> None:
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": output}
            for call, output in zip(said.calls, outputs, strict=True)
        ]
        self.history.append({"role": "user", "content": results})


_KINDS: dict[str, type[Talk]] = {
    "responses": ResponsesTalk, "chat": ChatTalk, "messages": MessagesTalk
}  # fmt: skip


def talk(client: str, sdks: Sdks, model: str, tools: Sequence[str] = (), **options: Any) -> Any:
    """A conversation in that dialect."""
    return _KINDS[client](sdks, model, tools, **options)
