"""What the tests of requests share."""

from base64 import b64encode
from typing import Any

import msgspec
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from msgspec import Raw
from tests.unit.dialects.converse.recordings import CLAUDE, upstream

from portico.dialects.converse.request_out import write
from portico.model.items import (
    Item,
    Message,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Loss
from portico.model.parts import Text
from portico.model.request import GenerateRequest
from portico.model.tools import FunctionTool

SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
CLAUDE_37 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
CLAUDE_46 = "global.anthropic.claude-opus-4-6-v1"
CLAUDE_47 = "anthropic.claude-opus-4-7"
CLAUDE_5 = "us.anthropic.claude-opus-5"
NOVA = "us.amazon.nova-pro-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
MISTRAL_7B = "mistral.mistral-7b-instruct-v0:2"
GPT_OSS = "openai.gpt-oss-120b-1:0"
PNG = b64encode(b"\x89PNG\r\n\x1a\n").decode()
TOOL = FunctionTool(
    name="look", description="Look.", parameters=Raw(b'{"type":"object","properties":{}}')
)
USER = Message("user", (Text("Hi"),))
CALL = ToolCall("c1", "look", '{"q":1}')
RESULT = ToolResult("c1", (Text("found"),))


def validate(body: dict[str, Any], operation: str = "Converse") -> None:
    """Against the service model of botocore: members, types, required, unions."""
    shape = SERVICE.operation_model(operation).input_shape
    report = ParamValidator().validate({"modelId": "m", **body}, shape)
    assert not report.has_errors(), report.generate_report()
    _exact(body, shape)


def _exact(value: Any, shape: Any) -> None:
    """No member that the model does not know: botocore passes over those inside structures."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{shape.name} has no {unknown}"
        for name, inner in value.items():
            _exact(inner, shape.members[name])
    elif shape.type_name == "list":
        for inner in value:
            _exact(inner, shape.member)
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum


def raw(request: GenerateRequest, model: str = CLAUDE) -> tuple[dict[str, Any], list[Loss]]:
    losses: list[Loss] = []
    body = msgspec.json.decode(write(request, upstream(model), losses))
    validate(body)
    return body, losses


def ask(*items: Item, **fields: Any) -> GenerateRequest:
    fields.setdefault("dialect", "responses")
    return GenerateRequest(model="m", items=items or (USER,), **fields)


def body(*items: Item, on: str = CLAUDE, **fields: Any) -> dict[str, Any]:
    return raw(ask(*items, **fields), on)[0]


def reasons(losses: list[Loss]) -> list[tuple[str, str]]:
    return [(loss.path, loss.how) for loss in losses]
