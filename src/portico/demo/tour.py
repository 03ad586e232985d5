"""A short tour of a running gateway: a plain call, a streamed one, and what it counted.

Standard library only, in a thread of its own, so that it can run next to the gateway it visits.
"""

import asyncio
import contextlib
import http.client
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO
from urllib.parse import urlsplit

import msgspec

__all__ = ["tour"]

TIMEOUT = 30.0
WIDTH = 88
METRIC = "portico_gen_ai_client_token_usage"
_MAX_METRIC_LINES = 8
_MAX_BODY = 4 * 1024 * 1024


class _TourError(Exception):
    """The gateway did not answer as expected; the message is for the reader of the tour."""


async def tour(
    base_url: str,
    metrics_url: str | None,
    out: TextIO,
    *,
    model: str = "demo-small",
    api_key: str | None = None,
) -> bool:
    """Visit the gateway at `base_url` (with or without `/v1`) and write the tour to `out`.

    `metrics_url` is the full URL of its Prometheus page. False when a stop failed; `out` says why.
    """
    guide = _Guide(base_url.rstrip("/").removesuffix("/v1"), out, model, api_key)
    return await asyncio.to_thread(guide.walk, metrics_url)


class _Guide:
    def __init__(self, base_url: str, out: TextIO, model: str, api_key: str | None) -> None:
        self._base = base_url
        self._out = out
        self._model = model
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"

    def walk(self, metrics_url: str | None) -> bool:
        """All the stops, in order."""
        try:
            self._plain()
            self._streamed()
            if metrics_url is not None:
                self._metrics(metrics_url)
        except _TourError as error:
            return self._failed(str(error))
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            return self._failed(f"{type(error).__name__}: {error}")
        return True

    def _failed(self, why: str) -> bool:
        with contextlib.suppress(BrokenPipeError):  # the reader of the tour has left
            self._say(f"\n   The tour ends early: {why}\n")
        return False

    def _plain(self) -> None:
        request = {"model": self._model, "input": "Hello there!"}
        self._say("1. A plain Responses call\n")
        with _Answer(self._base + "/v1/responses", self._headers, self._announced(request)) as page:
            response = msgspec.json.decode(page.body())
        text = "".join(
            part.get("text", "")
            for item in response["output"]
            if item["type"] == "message"
            for part in item["content"]
        )
        self._say(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   ") + "\n")
        self._usage(response)

    def _streamed(self) -> None:
        request = {"model": self._model, "input": "Tell me a story.", "stream": True}
        self._say("2. The same, streamed\n")
        final: dict[str, Any] | None = None
        column = 0
        with _Answer(self._base + "/v1/responses", self._headers, self._announced(request)) as page:
            for event in page.events():
                if event.get("type") == "response.output_text.delta":
                    column = self._flow(event["delta"], column)
                elif event.get("type") in ("response.completed", "response.incomplete"):
                    final = event["response"]
        self._say("\n")
        if final is None:
            raise _TourError("the stream was cut before its end.")
        self._usage(final)

    def _metrics(self, url: str) -> None:
        self._say("3. What the gateway counted\n")
        self._say(f"   GET {url}\n")
        with _Answer(url, {}, None) as page:
            lines = page.body().decode("utf-8", "replace").splitlines()
        found = [each for each in lines if each.startswith(METRIC) and "_bucket{" not in each]
        totals = [each for each in found if "_sum{" in each] or found
        for line in totals[:_MAX_METRIC_LINES]:
            self._say(f"   {line}\n")
        if not totals:
            self._say(f"   no {METRIC} yet\n")

    def _announced(self, request: dict[str, Any]) -> bytes:
        body = msgspec.json.encode(request)
        self._say(f"   POST {self._base}/v1/responses  {body.decode()}\n")
        return body

    def _usage(self, response: dict[str, Any]) -> None:
        usage = response.get("usage") or {}
        counted = f"{usage.get('input_tokens')} in, {usage.get('output_tokens')} out"
        self._say(f"   usage: {counted}, status: {response['status']}\n\n")

    def _flow(self, delta: str, column: int) -> int:
        """Write a delta as it comes, wrapping at blanks. Returns the column after it."""
        if not column:
            self._out.write("   ")
            column = 3
        if column + len(delta) > WIDTH and delta[:1].isspace():
            self._out.write("\n   ")
            delta, column = delta.lstrip(), 3
        self._say(delta.replace("\n", "\n   "))
        tail = delta.rpartition("\n")[2]
        return len(tail) + 3 if "\n" in delta else column + len(tail)

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class _Answer:
    """One HTTP exchange, closed on exit. Raises `_TourError` for a status other than 200."""

    def __init__(self, url: str, headers: dict[str, str], body: bytes | None) -> None:
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.netloc, timeout=TIMEOUT)
        self._method = "GET" if body is None else "POST"
        self._path = parts.path or "/"
        self._headers = headers
        self._request = body

    def __enter__(self) -> "_Answer":
        try:
            self._connection.request(self._method, self._path, self._request, self._headers)
            self._response = self._connection.getresponse()
            if self._response.status != 200:
                detail = self._response.read(500).decode("utf-8", "replace")
                raise _TourError(f"HTTP {self._response.status}: {detail}")
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def body(self) -> bytes:
        """The whole body, up to a bound."""
        return self._response.read(_MAX_BODY)

    def events(self) -> Iterator[dict[str, Any]]:
        """The JSON of each `data:` line, as it arrives."""
        while line := self._response.readline(_MAX_BODY):
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                yield msgspec.json.decode(data)
