"""What the provider's side did, as items of the Responses API and the events around them.

Source: openai-python 3.54, `ResponseOutputItem`; the order of events is that of OpenAI's own
streams. Items of another API are written from the hub's fields; a type this API does not know
gets the prefix that Open Responses asks of extensions.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.responses.wire import ALIEN
from portico.model.items import Hosted, Status
from portico.model.losses import Loss, Losses
from portico.wire.json import encode, one_line

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode

Wire = dict[str, Any]


class Row(Struct, frozen=True, kw_only=True):
    """One item type. `build` makes its own members from the hub's; `empty` are those that are still
    unknown when the item is announced. `steps` are events named after the type, in order; one that
    is not (`code_interpreter_call_code`) is streamed text of the member `streamed`. `fails`: there
    is a `failed` event. `states`: statuses it has besides completed and in_progress."""

    prefix: str
    build: Callable[[Hosted], Wire]
    empty: Wire
    steps: tuple[str, ...] = ()
    streamed: str = ""
    fails: bool = False
    states: tuple[Status, ...] = ("incomplete", "failed")


def _web_search(item: Hosted) -> Wire:
    action: Wire = {"type": "search", "query": item.input, "queries": [item.input]}
    if item.hits:
        action["sources"] = [{"type": "url", "url": hit.url} for hit in item.hits if hit.url]
    return {"action": action}


def _file_search(item: Hosted) -> Wire:
    results = [{"filename": hit.title, "text": hit.text} for hit in item.hits]
    return {"queries": [item.input], "results": results or None}


def _code(item: Hosted) -> Wire:
    outputs = [{"type": "logs", "logs": item.output}] if item.output else None
    return {"container_id": "", "code": item.input, "outputs": outputs}


def _image(item: Hosted) -> Wire:
    return {"result": item.output or None}


def _mcp_call(item: Hosted) -> Wire:
    return {"server_label": "", "name": item.name, "arguments": item.input or "{}",
            "output": item.output or None, "error": None}  # fmt: skip


def _other(item: Hosted) -> Wire:
    return {"name": item.name, "input": item.input, "output": item.output}


def _nothing(item: Hosted) -> Wire:
    return {}


_SEARCHED = ("in_progress", "searching", "completed")
ROWS: dict[str, Row] = {
    "web_search_call": Row(
        prefix="ws", build=_web_search, steps=_SEARCHED,
        empty={"action": {"type": "search", "query": ""}},
    ),
    "file_search_call": Row(
        prefix="fs", build=_file_search, steps=_SEARCHED, empty={"queries": [], "results": None},
    ),
    "code_interpreter_call": Row(
        prefix="ci", build=_code, empty={"code": "", "outputs": None}, streamed="code",
        steps=("in_progress", "code_interpreter_call_code", "interpreting", "completed"),
    ),
    "image_generation_call": Row(
        prefix="ig", build=_image, empty={"result": None}, states=("failed",),
        steps=("in_progress", "generating", "completed"),
    ),
    "mcp_call": Row(
        prefix="mcp", build=_mcp_call, empty={"arguments": "", "output": None, "error": None},
        streamed="arguments", steps=("in_progress", "mcp_call_arguments", "completed"), fails=True,
    ),
    "mcp_list_tools": Row(
        prefix="mcpl", build=lambda item: {"server_label": "", "tools": []}, empty={"tools": []},
        steps=("in_progress", "completed"), fails=True,
    ),
    "mcp_approval_request": Row(
        prefix="mcpr", empty={},
        build=lambda item: {"server_label": "", "name": item.name, "arguments": item.input or "{}"},
    ),
}  # fmt: skip
_WITHOUT_STATUS = frozenset(("mcp_list_tools", "mcp_approval_request", "mcp_approval_response"))
_NATIVE_PREFIXES = {
    "computer_call": "cu", "local_shell_call": "lsh", "shell_call": "sh",
    "shell_call_output": "sho", "apply_patch_call": "apc", "apply_patch_call_output": "apco",
    "tool_search_call": "tsc", "tool_search_output": "tso", "program": "prog",
    "program_output": "progo",
}  # fmt: skip
"""Types that only ever come from this API itself, whole."""
_ALIEN = Row(prefix="item", build=_other, empty={})


class HostedItem:
    """One hosted item, ready to be written. `item` is the finished item as JSON on one line."""

    __slots__ = ("_row", "_status", "_wire", "id", "item", "type")

    def __init__(self, item: Hosted, base: str, index: int) -> None:
        native = _native(item)
        kind = _decode_text(native["type"]) if native is not None else item.type
        known = ROWS.get(kind)
        row = known
        if row is None and native is not None:
            row = Row(prefix=_NATIVE_PREFIXES.get(kind, "item"), build=_nothing, empty={})
        elif row is None:
            row = _ALIEN
            kind = kind if ":" in kind else f"{ALIEN}{kind}"
        self.id = f"{row.prefix}_{base}{index:04x}"
        self.type = kind
        self._row = row
        self._status = _status(item.status, row)
        wire: Wire = {"type": kind, "id": self.id}
        if kind not in _WITHOUT_STATUS and (native is None or known is not None):
            wire["status"] = self._status
        wire.update(row.build(item))
        if native is not None:
            wire.update(native)
            wire["id"] = self.id
        self._wire = wire
        self.item = one_line(encode(wire))

    @property
    def shell(self) -> bytes:
        """The item as it is announced: nothing known of it yet."""
        shell = {**self._wire, **self._row.empty}
        if "status" in shell:
            shell["status"] = "in_progress"
        return one_line(encode(shell))

    def steps(self) -> list[tuple[bytes, bytes]]:
        """(event name, its own members after `output_index`) between added and done."""
        out: list[tuple[bytes, bytes]] = []
        for step in self._row.steps:
            if step == "completed" and self._status != "completed":
                if self._row.fails:
                    out.append((f"response.{self.type}.failed".encode(), b""))
            elif step.startswith(self.type):
                text = self._streamed()
                name = f"response.{step}".encode()
                if text != b'""':
                    out.append((name + b".delta", b',"delta":' + text))
                out.append((name + b".done", b',"%b":%b' % (self._row.streamed.encode(), text)))
            else:
                out.append((f"response.{self.type}.{step}".encode(), b""))
        return out

    def _streamed(self) -> bytes:
        text = encode(self._wire.get(self._row.streamed))
        return text if text[:1] == b'"' else b'""'


def has_form(item: Hosted, losses: Losses) -> bool:
    """Whether there is something to tell of an item; declares one that has neither a type nor words
    here."""
    told = item.type in ROWS or item.name or item.input or item.output or item.hits
    if told or (item.native is not None and item.native[0] == "responses"):
        return True
    losses.append(Loss("output", "dropped", f"{item.type[:40]} has no form here"))
    return False


def _native(item: Hosted) -> dict[str, Raw] | None:
    """The item in this API's own words, if that is where it comes from."""
    if item.native is None or item.native[0] != "responses":
        return None
    try:
        found = _decode_object(item.native[1])
        _decode_text(found["type"])
    except (ValueError, KeyError, RecursionError):
        return None
    return found


def _status(status: Status, row: Row) -> Status:
    """A finished item is not in progress, and some types know fewer states."""
    wanted: Status = "incomplete" if status == "in_progress" else status
    if wanted == "completed" or wanted in row.states:
        return wanted
    return row.states[-1]
