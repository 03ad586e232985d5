"""Marks of what this gateway itself put into an answer: no provider would take it back.

An answer of another provider, told to a client of this dialect, holds thinking without a valid
signature, searches without Anthropic's encrypted content and citations without its index.
"""

from portico.model.sealed import PREFIX

SERVER_CALL = "srvtoolu_portico"
"""Ids of server tool calls that were not made by Anthropic begin with it."""


def is_ours(proof: str) -> bool:
    """Whether a signature, or the data of redacted thinking, was made here. Anthropic's are never
    empty; an empty one stands for thinking of a provider that gives no proof."""
    return not proof or proof.startswith(PREFIX)
