"""The conversation of a generateContent request: parts, and which may stand where."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from portico.demo.chat_in import text_of
from portico.demo.faults import RefusedError, encode
from portico.demo.gemini import covered, signs_always
from portico.demo.media import BadMediaError, decoded, described
from portico.demo.seals import Places, unseal
from portico.demo.shapes import Check, WrongError, anything, array, flag, obj, text

__all__ = ["CONTENTS", "SYSTEM", "check_turns", "last_turn"]

_STRING = text()
_SKIP = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""The documented dummies for calls that another model made."""


def _message(optional: dict[str, Check], required: dict[str, Check] | None = None) -> Check:
    return obj(required, optional, nulls=True, camels=True)


_BLOB = _message({"displayName": _STRING}, {"mimeType": _STRING, "data": _STRING})
_FILE = _message({"mimeType": _STRING, "displayName": _STRING}, {"fileUri": _STRING})
_DATA: dict[str, Check] = {
    "text": _STRING,
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": _message({"id": _STRING, "args": obj(open_=True)}, {"name": text(low=1)}),
    "functionResponse": _message(
        {
            "id": _STRING,
            "parts": array(_message({"inlineData": _BLOB, "fileData": _FILE})),
            "willContinue": flag,
            "scheduling": _STRING,
        },
        {"name": text(low=1), "response": obj(open_=True)},
    ),
    "executableCode": anything,
    "codeExecutionResult": anything,
    "toolCall": anything,
    "toolResponse": anything,
}
_PART = _message(
    {
        **_DATA,
        "thought": flag,
        "thoughtSignature": _STRING,
        "videoMetadata": anything,
        "mediaResolution": anything,
        "partMetadata": anything,
    }
)
_PARTS = array(_PART, 1)
CONTENTS = array(_message({"role": text("user", "model")}, {"parts": _PARTS}), 1)
SYSTEM = _message({"role": _STRING}, {"parts": array(_message({"text": _STRING}), 1)})

_SUPPORTED = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/heic",
    "image/heif",
    "image/gif",
    "application/pdf",
    "application/json",
)
_AUDIBLE = ("audio/", "video/", "text/")


def check_turns(contents: list[dict[str, Any]], model: str, vertex: bool) -> dict[int, list[str]]:
    """Refuse a conversation that Google refuses; say what the media of each content show."""
    shown: dict[int, list[str]] = {}
    waiting: list[dict[str, Any]] = []
    places = Places()
    turn = 0
    current = _current_turn(contents)
    for number, content in enumerate(contents):
        parts = content["parts"]
        user = content.get("role", "user") == "user"
        _check_parts(parts, number, vertex, user)
        responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if user:
            turn += 1
            _check_responses(parts, responses, waiting, number)
            waiting = []
            shown[number] = list(_seen(parts, number, vertex))
            continue
        if waiting:
            raise _misplaced(number, "function response turn comes immediately after a function")
        if responses:
            raise _misplaced(number, "function response parts are in a user turn, not after a")
        waiting = [part["functionCall"] for part in parts if "functionCall" in part]
        strict = number > current and signs_always(model)
        _check_signatures(parts, number, turn, places, strict)
    if waiting:
        raise RefusedError(400, _COUNTS)
    return shown


def _current_turn(contents: list[dict[str, Any]]) -> int:
    """Where the user last said something other than results."""
    for number in range(len(contents) - 1, -1, -1):
        content = contents[number]
        user = content.get("role", "user") == "user"
        if user and any("functionResponse" not in part for part in content["parts"]):
            return number
    return -1


def _check_parts(parts: list[dict[str, Any]], number: int, vertex: bool, user: bool) -> None:
    for index, part in enumerate(parts):
        where = f"contents[{number}].parts[{index}]"
        data = [name for name in _DATA if name in part]
        if not data and "thoughtSignature" not in part:
            why = "required oneof field 'data' must have one initialized field"
            raise RefusedError(400, f"* GenerateContentRequest.{where}.data: {why}")
        if len(data) > 1:
            why = f"oneof field 'data' is already set. Cannot set '{data[1]}'"
            raise RefusedError(400, f"Invalid value at '{where}' (oneof), {why}", param=where)
        if vertex:
            for name in ("functionCall", "functionResponse"):
                if "id" in part.get(name, ()):
                    path = ("contents", number, "parts", index, name, "id")
                    raise WrongError(path, "unknown")
            if user and part.get("text") == "":
                why = "it must have a text parameter"
                raise RefusedError(400, f"Unable to submit request because {why}.")


# -- calls and responses ------------------------------------------------------------------------

_COUNTS = (
    "Please ensure that the number of function response parts is equal to the number of function "
    "call parts of the function call turn."
)


def _check_responses(
    parts: list[dict[str, Any]],
    responses: list[dict[str, Any]],
    waiting: list[dict[str, Any]],
    number: int,
) -> None:
    if not responses:
        if waiting:
            raise RefusedError(400, _COUNTS)
        return
    if not waiting:
        raise _misplaced(number, "function response turn comes immediately after a function")
    if len(responses) != len(parts):
        message = "Function response parts can not be mixed with other parts in one content."
        raise RefusedError(400, message, param=f"contents[{number}]")
    if len(responses) != len(waiting):
        raise RefusedError(400, _COUNTS)
    called = Counter(call["name"] for call in waiting)
    if called != Counter(response["name"] for response in responses):
        message = "The names of function responses must be those of the function calls."
        raise RefusedError(400, message, param=f"contents[{number}]")
    ids = Counter(call["id"] for call in waiting if "id" in call)
    given = Counter(response["id"] for response in responses if "id" in response)
    if given and ids != given:
        message = "The ids of function responses must be those of the function calls."
        raise RefusedError(400, message, param=f"contents[{number}]")
    if not given and [call["name"] for call in waiting] != [each["name"] for each in responses]:
        message = "Function responses without ids must be in the order of the function calls."
        raise RefusedError(400, message, param=f"contents[{number}]")


def _misplaced(number: int, what: str) -> RefusedError:
    message = f"Please ensure that {what} call turn."
    return RefusedError(400, message, param=f"contents[{number}]")


# -- signatures ---------------------------------------------------------------------------------


def _check_signatures(
    parts: list[dict[str, Any]], number: int, turn: int, places: Places, strict: bool
) -> None:
    first = True
    for index, part in enumerate(parts):
        call = part.get("functionCall")
        signature = part.get("thoughtSignature")
        if call is not None:
            if first and strict and signature is None:
                raise RefusedError(
                    400,
                    f"Function call is missing a thought_signature in functionCall parts. "
                    f"Additional data, function call `{call['name']}`, position {index + 1}.",
                    param=f"contents[{number}].parts[{index}]",
                )
            first = False
        if signature is None or signature in _SKIP:
            continue
        found = unseal(signature)
        kind, covers = "text", part.get("text", "")
        if call is not None:
            kind, covers = "call", covered(call["name"], call.get("args"))
        if found is None or not found.of(kind, covers) or not places.take(found, turn):
            message = "Thought signature is not valid."
            raise RefusedError(400, message, param=f"contents[{number}].parts[{index}]")


# -- what was said ------------------------------------------------------------------------------


def last_turn(
    contents: list[dict[str, Any]], shown: dict[int, list[str]]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The last user text, the function responses after it, and what is to be seen there."""
    results: list[str] = []
    seen: list[str] = []
    for number in range(len(contents) - 1, -1, -1):
        content = contents[number]
        if content.get("role", "user") != "user":
            continue
        seen[:0] = shown.get(number, ())
        parts = content["parts"]
        found = [part["functionResponse"] for part in parts if "functionResponse" in part]
        results[:0] = [_told(each["response"]) for each in found]
        if said := text_of(parts):
            return said, tuple(results), tuple(seen)
    return "", tuple(results), tuple(seen)


def _told(response: dict[str, Any]) -> str:
    """The text of a response: its only string, or all of it as JSON."""
    values = list(response.values())
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return encode(response).decode("utf-8", "replace")


def _seen(parts: list[dict[str, Any]], number: int, vertex: bool) -> Iterator[str]:
    for index, part in enumerate(parts):
        where = f"contents[{number}].parts[{index}]"
        inner = part.get("functionResponse", {}).get("parts", ())
        for each in (part, *inner):
            if blob := each.get("inlineData"):
                yield _blob(blob, f"{where}.inline_data")
            elif file := each.get("fileData"):
                yield _file(file, vertex)


def _blob(blob: dict[str, Any], where: str) -> str:
    kind = blob["mimeType"]
    if kind not in _SUPPORTED and not kind.startswith(_AUDIBLE):
        raise RefusedError(400, f"Unsupported MIME type: {kind}")
    try:
        return described(kind, decoded(blob["data"], url_safe=True))
    except BadMediaError:
        message = f"Invalid value at '{where}.data' (TYPE_BYTES), Base64 decoding failed"
        raise RefusedError(400, message, param=f"{where}.data") from None


def _file(file: dict[str, Any], vertex: bool) -> str:
    uri = file["fileUri"]
    if vertex:
        fits = uri.startswith(("gs://", "https://", "http://"))
    else:
        # Files of its own, videos, and public or signed addresses:
        # https://ai.google.dev/gemini-api/docs/file-input-methods, 2026-11-21
        fits = uri.startswith("https://")
    if not fits:
        raise RefusedError(400, f"Unsupported file URI type: {uri[:200]}")
    return f"file at {uri}"
