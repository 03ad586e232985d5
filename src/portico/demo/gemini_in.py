"""Google's generateContent, as the demo provider reads it: parameters, tools and schemas.

Names are read in camel and in snake case, as protobuf's JSON is; anything else is an unknown name.
The conversation is in `gemini_turns.py`.
"""

from typing import Any

from portico.demo.arrival import Arrival
from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, encode
from portico.demo.gemini import Gemini
from portico.demo.gemini_schema import SCHEMA, check_parameters
from portico.demo.gemini_turns import CONTENTS, SYSTEM, check_turns, last_turn
from portico.demo.script import Ask, Tool
from portico.demo.shapes import (
    Check,
    Path,
    anything,
    array,
    flag,
    mapping,
    numeric,
    obj,
    text,
    whole,
)

__all__ = ["count_gemini", "read_gemini"]

_STRING = text()
_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}
_NAME = text(pattern=r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")


def _message(optional: dict[str, Check], required: dict[str, Check] | None = None) -> Check:
    return obj(required, optional, nulls=True, camels=True)


def _enum(*names: str) -> Check:
    return text(*names)


_DECLARATION = _message(
    {
        "description": _STRING,
        "parameters": SCHEMA,
        "parametersJsonSchema": anything,
        "response": SCHEMA,
        "responseJsonSchema": anything,
        "behavior": _enum("UNSPECIFIED", "BLOCKING", "NON_BLOCKING"),
    },
    {"name": _NAME},
)
_HOSTED = [
    "googleSearch",
    "googleSearchRetrieval",
    "codeExecution",
    "urlContext",
    "googleMaps",
    "fileSearch",
    "computerUse",
    "mcpServers",
    "retrieval",
    "enterpriseWebSearch",
]
_TOOL = _message(
    {"functionDeclarations": array(_DECLARATION), **dict.fromkeys(_HOSTED, anything)},
)
_TOOL_CONFIG = _message(
    {
        "functionCallingConfig": _message(
            {
                "mode": _enum("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"),
                "allowedFunctionNames": array(_STRING),
                "streamFunctionCallArguments": flag,
            }
        ),
        "retrievalConfig": anything,
        "includeServerSideToolInvocations": flag,
    }
)
_LEVELS = _enum("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")


def _level(value: Any, path: Path) -> Any:
    return _LEVELS(value.upper() if isinstance(value, str) else value, path)


_GENERATION = _message(
    {
        "audioTimestamp": flag,
        "candidateCount": whole(1, 8),
        "enableAffectiveDialog": flag,
        "frequencyPenalty": numeric(-2, 2),
        "imageConfig": anything,
        "logprobs": whole(0, 20),
        "maxOutputTokens": whole(1),
        "mediaResolution": _STRING,
        "presencePenalty": numeric(-2, 2),
        "responseJsonSchema": anything,
        "responseLogprobs": flag,
        "responseMimeType": text("text/plain", "application/json", "text/x.enum"),
        "responseModalities": array(_STRING),
        "responseSchema": SCHEMA,
        "routingConfig": anything,
        "seed": whole(),
        "speechConfig": anything,
        "stopSequences": array(_STRING, 0, 5),
        "temperature": numeric(0, 2),
        "thinkingConfig": _message(
            {"includeThoughts": flag, "thinkingBudget": whole(-1, 32768), "thinkingLevel": _level}
        ),
        "topK": numeric(1),
        "topP": numeric(0, 1),
    }
)
_SAFETY = _message(
    {"method": _STRING}, {"category": text(pattern=r"HARM_CATEGORY_\w+"), "threshold": _STRING}
)
_REQUEST: dict[str, Check] = {
    "cachedContent": _STRING,
    "generationConfig": _GENERATION,
    "safetySettings": array(_SAFETY),
    "systemInstruction": SYSTEM,
    "toolConfig": _TOOL_CONFIG,
    "tools": array(_TOOL),
}
_GEMINI = {**_REQUEST, "model": _STRING, "serviceTier": _STRING, "store": flag}
_VERTEX = {
    **_REQUEST,
    "labels": mapping(text(high=63), high=64),
    "modelArmorConfig": anything,
}


def _body(vertex: bool) -> Check:
    fields = _VERTEX if vertex else _GEMINI
    return _message(fields, {"contents": CONTENTS})


_BODIES = {vertex: _body(vertex) for vertex in (False, True)}
_COUNTS = {
    False: _message({"contents": CONTENTS, "generateContentRequest": _BODIES[False]}),
    True: _message(
        {
            "model": _STRING,
            "systemInstruction": SYSTEM,
            "tools": _REQUEST["tools"],
            "generationConfig": _GENERATION,
        },
        {"contents": CONTENTS},
    ),
}


def count_gemini(arrival: Arrival) -> list[bytes]:
    """The prompt of a `countTokens` request, for the meter."""
    vertex = arrival.vendor == "vertex"
    body = _COUNTS[vertex](arrival.json(), ())
    inner = body.get("generateContentRequest")
    if inner is not None and "contents" in body:
        message = "contents and generate_content_request are mutually exclusive"
        raise RefusedError(400, message)
    body = inner or body
    if "contents" not in body:
        raise RefusedError(400, "* CountTokensRequest.contents: contents is not specified")
    check_turns(body["contents"], "", vertex)
    return _prompt(body)


def read_gemini(arrival: Arrival) -> Gemini:
    """Decode a request. Raises `RefusedError`, `WrongError` or msgspec's errors."""
    vertex = arrival.vendor == "vertex"
    body: dict[str, Any] = _BODIES[vertex](arrival.json(), ())
    model = arrival.model or ""
    config = body.get("generationConfig", {})
    _insist(body, config, model)
    shown = check_turns(body["contents"], model, vertex)
    said, results, seen = last_turn(body["contents"], shown)
    order, said = directives_of(model, said)
    tools, must_call = _tools(body, model)
    thinking = config.get("thinkingConfig", {})
    stream = bool(arrival.stream)
    ask = Ask(
        model=model,
        text=said,
        order=order,
        results=results,
        seen=seen,
        tools=tools,
        must_call=must_call,
        searches=any(_searches(tool) for tool in body.get("tools", ())),
        thinks=_thinks(thinking, model),
        max_tokens=config.get("maxOutputTokens"),
        schema=_schema(config),
        stop=tuple(config.get("stopSequences", ())),
        echo=arrival.echo,
    )
    return Gemini(
        ask=ask,
        prompt=_prompt(body),
        stream=stream,
        vertex=vertex,
        sse=arrival.argument("alt") == "sse",
        thoughts=bool(thinking.get("includeThoughts")),
        choices=config.get("candidateCount", 1),
    )


def _thinks(thinking: dict[str, Any], model: str) -> bool | None:
    if "thinkingLevel" in thinking:
        return True
    if "thinkingBudget" in thinking:
        return bool(thinking["thinkingBudget"])
    return True if thinking.get("includeThoughts") else None


def _insist(body: dict[str, Any], config: dict[str, Any], model: str) -> None:
    """Parameters that do not go together."""
    thinking = config.get("thinkingConfig", {})
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        raise RefusedError(400, "You can only set one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and "gemini-2" in model:
        raise RefusedError(400, "Thinking level is not supported for this model.")
    if thinking.get("thinkingBudget") == 0 and "gemini-2.5-pro" in model:
        message = "Budget 0 is invalid. This model only works in thinking mode."
        raise RefusedError(400, message)
    if "logprobs" in config and not config.get("responseLogprobs"):
        message = "Logprobs is only supported when response_logprobs is set to true."
        raise RefusedError(400, message)
    json_like = config.get("responseMimeType") in ("application/json", "text/x.enum")
    if ("responseSchema" in config or "responseJsonSchema" in config) and not json_like:
        message = "Response schema is only supported with response mime type: 'application/json'"
        raise RefusedError(400, message)
    if "responseSchema" in config and "responseJsonSchema" in config:
        message = "Only one of response_schema and response_json_schema may be set."
        raise RefusedError(400, message)
    if "cachedContent" in body:
        if any(name in body for name in ("systemInstruction", "tools", "toolConfig")):
            message = (
                "CachedContent can not be used with GenerateContent request setting "
                "system_instruction, tools or tool_config."
            )
            raise RefusedError(400, message)
        raise RefusedError(403, "CachedContent not found (or permission denied)")
    declared = any("functionDeclarations" in tool for tool in body.get("tools", ()))
    if "gemini-2" in model and declared:
        if any(name in tool for tool in body["tools"] for name in _HOSTED):
            raise RefusedError(400, "Tool use with function calling is unsupported")
        if json_like:
            message = "Function calling with a response mime type: 'application/json' is"
            raise RefusedError(400, f"{message} unsupported")


def _prompt(body: dict[str, Any]) -> list[bytes]:
    prompt = [encode(content) for content in body["contents"]]
    for name in ("systemInstruction", "tools"):
        if body.get(name):
            prompt.insert(0, encode(body[name]))
    return prompt


# -- tools and formats --------------------------------------------------------------------------


def _searches(tool: dict[str, Any]) -> bool:
    return "googleSearch" in tool or "googleSearchRetrieval" in tool


def _tools(body: dict[str, Any], model: str) -> tuple[tuple[Tool, ...], bool]:
    offered: list[Tool] = []
    for number, tool in enumerate(body.get("tools", ())):
        for index, each in enumerate(tool.get("functionDeclarations", ())):
            where = f"tools[{number}].function_declarations[{index}]"
            name = each["name"]
            if any(name == other.name for other in offered):
                raise RefusedError(400, f"Duplicate function declaration found: {name}")
            schema = check_parameters(each, where)
            offered.append(Tool(name, schema))
    config = body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode = config.get("mode", "AUTO")
    names = config.get("allowedFunctionNames", ())
    if names and mode not in ("ANY", "VALIDATED"):
        message = "Allowed function names can only be set when the mode is ANY or VALIDATED."
        raise RefusedError(400, f"* GenerateContentRequest.tool_config: {message}")
    if mode == "ANY" and not offered:
        message = "Function calling mode ANY needs at least one function declaration."
        raise RefusedError(400, f"* GenerateContentRequest.tool_config: {message}")
    if unknown := [name for name in names if name not in {tool.name for tool in offered}]:
        message = f"allowed_function_names: {unknown[0]} is not one of the function_declarations"
        raise RefusedError(400, f"* GenerateContentRequest.tool_config: {message}")
    if mode == "NONE":
        return (), False
    return tuple(tool for tool in offered if not names or tool.name in names), mode == "ANY"


def _schema(config: dict[str, Any]) -> dict[str, Any] | None:
    if config.get("responseMimeType") != "application/json":
        return None
    schema = config.get("responseJsonSchema", config.get("responseSchema"))
    return schema if isinstance(schema, dict) else _JSON_OBJECT
