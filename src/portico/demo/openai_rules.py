"""What OpenAI's two APIs have in common when they refuse: schemas, names, media, parameters."""

from collections.abc import Iterator
from typing import Any

from portico.demo.faults import RefusedError, bracketed
from portico.demo.media import BadMediaError, data_url, decoded, described
from portico.demo.shapes import Check, Path, flag, mapping, numeric, obj, text, whole

__all__ = [
    "COMMON",
    "EFFORT",
    "JSON_OBJECT",
    "NAME",
    "audio_seen",
    "check_strict",
    "file_seen",
    "image_seen",
    "insist_json",
    "invalid",
]

JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}
NAME = r"[a-zA-Z0-9_-]+"
EFFORT = text("none", "minimal", "low", "medium", "high", "xhigh", "max")
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}
_NOT_STRICT = ("allOf", "oneOf", "not", "if", "then", "else", "patternProperties")
_MAX_DEPTH = 64

COMMON: dict[str, Check] = {
    "metadata": mapping(text(high=512), high=16, key=text(high=64)),
    "parallel_tool_calls": flag,
    "prompt_cache_key": text(high=64),
    "prompt_cache_options": obj(None, {"mode": text(), "ttl": text()}, nulls=True),
    "prompt_cache_retention": text("in_memory", "in-memory", "24h"),
    "safety_identifier": text(high=64),
    "service_tier": text("auto", "default", "flex", "scale", "priority", "fast", "ultrafast"),
    "store": flag,
    "stream": flag,
    "temperature": numeric(0, 2),
    "top_logprobs": whole(0, 20),
    "top_p": numeric(0, 1),
    "presence_penalty": numeric(-2, 2),
    "frequency_penalty": numeric(-2, 2),
    "user": text(),
    "moderation": obj(open_=True),
}


def invalid(path: Path | str, message: str, code: str | None = "invalid_value") -> RefusedError:
    """The 400 for a value that has the right shape and still cannot be."""
    param = path if isinstance(path, str) else bracketed(path)
    return RefusedError(400, message, code=code, param=param)


def image_seen(url: str, path: Path) -> str:
    """What an `image_url` shows. Raises `RefusedError` for one that cannot be read."""
    try:
        found = data_url(url)
    except BadMediaError as error:
        message = f"Invalid '{bracketed(path)}': {error}."
        raise invalid(path, message, "invalid_base64_image") from None
    if found is None:
        return f"image at {url}"
    if found[0] not in ("image/png", "image/jpeg", "image/gif", "image/webp"):
        message = f"You uploaded an unsupported image: {found[0]}. Use png, jpeg, gif or webp."
        raise invalid(path, message, "invalid_image_format")
    return described(*found)


def file_seen(part: dict[str, Any], path: Path) -> str:
    """What `file_id`, `file_url` or `file_data` with `filename` shows; one of the three."""
    given = [name for name in ("file_id", "file_url", "file_data") if part.get(name)]
    if len(given) != 1:
        message = f"'{bracketed(path)}' needs exactly one of file_id, file_url and file_data."
        raise invalid(path, message, "missing_required_parameter")
    if given[0] != "file_data":
        return f"file at {part[given[0]]}"
    name = part.get("filename")
    if not name:
        missing = bracketed((*path, "filename"))
        message = f"Missing required parameter: '{missing}'."
        raise invalid(missing, message, "missing_required_parameter")
    data = part["file_data"]
    try:
        found = data_url(data) if data.startswith("data:") else ("file", decoded(data))
    except BadMediaError as error:
        message = f"Invalid '{bracketed((*path, 'file_data'))}': {error}."
        raise invalid((*path, "file_data"), message) from None
    return described(*(found or ("file", b""))) + f", {name}"


def audio_seen(audio: dict[str, Any], path: Path) -> str:
    """What `input_audio` shows."""
    try:
        return described(_AUDIO[audio["format"]], decoded(audio["data"]))
    except BadMediaError as error:
        where = (*path, "data")
        raise invalid(where, f"Invalid '{bracketed(where)}': {error}.") from None


def check_strict(schema: Any, path: Path, what: str) -> None:
    """Refuse what `strict: true` does not take; `what` is `function 'name'` or the like."""
    why = None
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        why = "schema must be a JSON Schema of 'type: \"object\"'"
    else:
        why = next(_not_strict(schema, (), 0), None)
    if why is not None:
        kind = "function_parameters" if what.startswith("function") else "json_schema"
        message = f"Invalid schema for {what}: {why}."
        raise invalid(path, message, f"invalid_{kind}")


def _not_strict(schema: Any, where: tuple[str, ...], depth: int) -> Iterator[str]:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    context = f"In context={where}, "
    for word in _NOT_STRICT:
        if word in schema:
            yield f"{context}'{word}' is not permitted"
    properties = schema.get("properties")
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or properties:
        if schema.get("additionalProperties") is not False:
            yield f"{context}'additionalProperties' is required to be supplied and to be false"
        left = [name for name in properties or {} if name not in (schema.get("required") or ())]
        if left:
            yield (
                f"{context}'required' is required to be supplied and to be an array including "
                f"every key in properties. Missing '{left[0]}'"
            )
    if (kinds == "array" or "items" in schema) and not isinstance(schema.get("items"), dict):
        yield f"{context}array schema missing items"
    for group in ("properties", "$defs", "definitions"):
        for name, each in (schema.get(group) or {}).items():
            yield from _not_strict(each, (*where, group, name), depth + 1)
    yield from _not_strict(schema.get("items"), (*where, "items"), depth + 1)
    for index, each in enumerate(schema.get("anyOf") or ()):
        yield from _not_strict(each, (*where, "anyOf", str(index)), depth + 1)


def insist_json(prompt: list[bytes], param: str) -> None:
    """With `json_object` the conversation must mention JSON."""
    if not any(b"json" in each.lower() for each in prompt):
        message = (
            f"'{param}' must contain the word 'json' in some form, to use a response format of "
            "type 'json_object'."
        )
        raise invalid(param, message, None)
