"""The demo models, as OpenAI's, Anthropic's and Google's model endpoints list them."""

from typing import Any

__all__ = ["MODELS", "google_models", "model", "models"]

MODELS = ("demo-small", "demo-large", "demo-reasoner")
_CREATED = 1_767_225_600  # 2026-01-01, when the demo models were "made"


def models(anthropic: bool) -> dict[str, Any]:
    """The list of demo models."""
    data = [model(name, anthropic) for name in MODELS]
    if anthropic:
        ends = {"first_id": MODELS[0], "last_id": MODELS[-1]}
        return {"data": data, "has_more": False, **ends}
    return {"object": "list", "data": data}


def model(name: str, anthropic: bool) -> dict[str, Any]:
    """One model; any name will do."""
    if not anthropic:
        return {"id": name, "object": "model", "created": _CREATED, "owned_by": "portico-demo"}
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def google_models(name: str) -> dict[str, Any]:
    """One model by its name, or with an empty name all of them, as the Gemini API lists them."""
    if not name:
        return {"models": [google_models(each) for each in MODELS]}
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
