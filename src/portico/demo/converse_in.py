"""Amazon Bedrock's Converse, as the demo provider reads it: parameters and tools.

Nobody but the service's own validation is imitated: what a model provider's fields (`thinking` and
the like in `additionalModelRequestFields`) refuse is Anthropic's. The conversation is in
`converse_turns.py`.
"""

from typing import Any

import msgspec

from portico.demo.arrival import Arrival
from portico.demo.converse import Converse
from portico.demo.converse_turns import (
    CACHE,
    MESSAGES,
    SYSTEM,
    check_turns,
    has_tool_blocks,
    last_turn,
    marks,
    union,
)
from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, encode
from portico.demo.media import BadMediaError, decoded
from portico.demo.script import Ask, Tool, choose
from portico.demo.shapes import (
    Check,
    anything,
    array,
    flag,
    mapping,
    numeric,
    obj,
    tagged,
    text,
    whole,
)

__all__ = ["count_converse", "read_converse"]

_STRING = text()
_TOOL_NAME = text(pattern=r"[a-zA-Z0-9_-]{1,64}")


def _struct(required: dict[str, Check] | None, optional: dict[str, Check] | None = None) -> Check:
    return obj(required, optional, nulls=True)


_SPEC = _struct(
    {"name": _TOOL_NAME, "inputSchema": union({"json": obj(open_=True)})},
    {"description": text(low=1), "strict": flag},
)
_TOOLS = _struct(
    {
        "tools": array(
            union({"toolSpec": _SPEC, "systemTool": _struct({"name": _TOOL_NAME}), **CACHE}), 1
        )
    },
    {
        "toolChoice": union(
            {"auto": _struct(None), "any": _struct(None), "tool": _struct({"name": _TOOL_NAME})}
        )
    },
)
_INFERENCE = _struct(
    None,
    {
        "maxTokens": whole(1),
        "temperature": numeric(0, 1),
        "topP": numeric(0, 1),
        "stopSequences": array(text(low=1), 0, 2500),
    },
)
_JSON_SCHEMA = _struct({"schema": _STRING}, {"name": _STRING, "description": _STRING})
_OUTPUT = _struct(
    None,
    {
        "textFormat": _struct(
            {"type": text("json_schema"), "structure": union({"jsonSchema": _JSON_SCHEMA})}
        ),
        "effort": text(high=16),
    },
)
_BUDGET: dict[str, Check] = {"type": _STRING, "budget_tokens": whole(1024)}
_DISPLAY = {"display": text("summarized", "omitted")}
_MODEL_FIELDS = _struct(
    None,
    {
        "anthropic_beta": array(_STRING),
        "inferenceConfig": obj(open_=True),
        "output_config": obj(open_=True),
        "reasoningConfig": obj(open_=True),
        "reasoning_config": obj(open_=True),
        "reasoning_effort": _STRING,
        "thinking": tagged(
            {
                "enabled": _struct(_BUDGET, _DISPLAY),
                "adaptive": _struct({"type": _STRING}, _DISPLAY),
                "disabled": _struct({"type": _STRING}),
            }
        ),
        "tool_choice": obj(open_=True),
        "tools": array(obj(open_=True)),
        "top_k": whole(0),
    },
)
_BODY = _struct(
    {"messages": MESSAGES},
    {
        "additionalModelRequestFields": _MODEL_FIELDS,
        "additionalModelResponseFieldPaths": array(_STRING, 0, 10),
        "guardrailConfig": obj(open_=True),
        "inferenceConfig": _INFERENCE,
        "outputConfig": _OUTPUT,
        "performanceConfig": _struct(None, {"latency": text("standard", "optimized")}),
        "promptVariables": mapping(anything),
        "requestMetadata": mapping(text(high=256), high=16, key=text(low=1, high=256)),
        "serviceTier": _struct({"type": text("priority", "default", "flex", "reserved")}),
        "system": SYSTEM,
        "toolConfig": _TOOLS,
    },
)
_COUNT = _struct(
    {
        "input": union(
            {
                "converse": _struct(
                    {"messages": MESSAGES},
                    {
                        "system": SYSTEM,
                        "toolConfig": _TOOLS,
                        "additionalModelRequestFields": _MODEL_FIELDS,
                    },
                ),
                "invokeModel": _struct({"body": _STRING}),
            }
        )
    }
)


def count_converse(arrival: Arrival) -> list[bytes]:
    """The prompt of a `count-tokens` request, for the meter."""
    body = _COUNT(arrival.json(), ())["input"]
    if "invokeModel" in body:
        try:
            return [decoded(body["invokeModel"]["body"])]
        except BadMediaError as error:
            raise RefusedError(400, str(error), kind="SerializationException") from None
    inner = body["converse"]
    check_turns(inner)
    _tools(inner)
    return _prompt(inner)


def read_converse(arrival: Arrival) -> Converse:
    """Decode a request. Raises `RefusedError`, `WrongError` or msgspec's errors."""
    body: dict[str, Any] = _BODY(arrival.json(), ())
    model = arrival.model or ""
    config = body.get("inferenceConfig", {})
    thinking = body.get("additionalModelRequestFields", {}).get("thinking", {})
    _insist(body, config, thinking)
    shown = check_turns(body)
    said, results, seen = last_turn(body["messages"], shown)
    order, said = directives_of(model, said)
    tools, must_call = _tools(body)
    kind = thinking.get("type")
    offered = body.get("toolConfig", {}).get("tools", ())
    ask = Ask(
        model=model,
        text=said,
        order=order,
        results=results,
        seen=seen,
        tools=tools,
        must_call=must_call,
        searches=any("systemTool" in tool for tool in offered),
        thinks=None if kind is None else kind != "disabled",
        max_tokens=config.get("maxTokens"),
        schema=_schema(body),
        stop=tuple(config.get("stopSequences", ())),
        echo=arrival.echo,
    )
    return Converse(
        ask=ask,
        prompt=_prompt(body),
        stream=bool(arrival.stream),
        marks_cache=marks(body) > 0,
    )


def _insist(body: dict[str, Any], config: dict[str, Any], thinking: dict[str, Any]) -> None:
    """Parameters that do not go together."""
    prefix = "The model returned the following errors: "
    budget = thinking.get("budget_tokens")
    if budget is not None and budget >= config.get("maxTokens", 4096):
        message = "`max_tokens` must be greater than `thinking.budget_tokens`."
        raise RefusedError(400, prefix + message)
    if thinking.get("type") in ("enabled", "adaptive"):
        choice = body.get("toolConfig", {}).get("toolChoice", {})
        if "any" in choice or "tool" in choice:
            message = "Thinking may not be enabled when tool_choice forces tool use."
            raise RefusedError(400, prefix + message)
        if config.get("temperature", 1) != 1:
            message = "`temperature` may only be set to 1 when thinking is enabled."
            raise RefusedError(400, prefix + message)
        if config.get("topP", 1) < 0.95:
            message = "`top_p` must be greater than or equal to 0.95 when thinking is enabled."
            raise RefusedError(400, prefix + message)
    if "toolConfig" not in body and has_tool_blocks(body["messages"]):
        message = (
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
        raise RefusedError(400, message)


def _prompt(body: dict[str, Any]) -> list[bytes]:
    prompt = [encode(message["content"]) for message in body["messages"]]
    for name in ("system", "toolConfig"):
        if name in body:
            prompt.insert(0, encode(body[name]))
    return prompt


def _tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    config = body.get("toolConfig", {})
    offered: list[Tool] = []
    for index, each in enumerate(config.get("tools", ())):
        spec = each.get("toolSpec")
        if spec is None:
            continue
        where = f"toolConfig.tools.{index}.toolSpec"
        schema = spec["inputSchema"]["json"]
        if schema.get("type") != "object":
            message = f"The value at {where}.inputSchema.json.type must be one of the following"
            raise RefusedError(400, f"{message}: object.")
        if any(spec["name"] == tool.name for tool in offered):
            raise RefusedError(400, f"The tool name {spec['name']} at {where}.name is not unique.")
        offered.append(Tool(spec["name"], schema))
    choice = config.get("toolChoice", {"auto": {}})
    if "tool" in choice:
        return choose(tuple(offered), {choice["tool"]["name"]}), True
    return tuple(offered), "any" in choice


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema is a string of JSON."""
    asked = body.get("outputConfig", {}).get("textFormat")
    if asked is None:
        return None
    try:
        schema = msgspec.json.decode(asked["structure"]["jsonSchema"]["schema"])
    except (msgspec.DecodeError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        where = "outputConfig.textFormat.structure.jsonSchema.schema"
        raise RefusedError(400, f"The value at {where} is not a valid JSON schema.")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        message = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise RefusedError(400, f"output_config.format.schema: {message}")
    return schema
