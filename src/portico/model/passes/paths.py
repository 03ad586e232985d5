"""What the client calls the things that passes speak about."""

from portico.model.tools import HostedTool, Tool

_NAMES: dict[str, dict[str, str]] = {
    "responses": {
        "effort": "reasoning.effort",
        "summary": "reasoning.summary",
        "format": "text.format",
        "format.description": "text.format.description",
        "verbosity": "text.verbosity",
        "items": "input",
        "logprobs": "include",
    },
    "chat": {
        "effort": "reasoning_effort",
        "format": "response_format",
        "format.description": "response_format.json_schema.description",
        "items": "messages",
        "choices": "n",
        "max_output_tokens": "max_completion_tokens",
    },
    "messages": {
        "effort": "output_config.effort",
        "budget": "thinking.budget_tokens",
        "summary": "thinking.display",
        "format": "output_config.format",
        "items": "messages",
        "max_output_tokens": "max_tokens",
        "stop": "stop_sequences",
        "user": "metadata.user_id",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "caching": "cache_control",
        "filename": "title",
    },
}


def path(dialect: str, what: str) -> str:
    """The client's name of a hub field."""
    return _NAMES.get(dialect, {}).get(what, what)


def tool_at(dialect: str, tool: Tool, index: int) -> str:
    """Where tool `index` is. Hosted ones have places of their own in two dialects."""
    if isinstance(tool, HostedTool):
        if dialect == "chat":
            return "web_search_options"
        if dialect == "messages" and tool.kind == "mcp":
            return "mcp_servers"
    return f"tools[{index}]"


def at(dialect: str, index: int) -> str:
    """Where item `index` is. Only Responses has the hub's own order; the others nest."""
    return f"input[{index}]" if dialect == "responses" else "messages"
