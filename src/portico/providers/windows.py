"""How many tokens a model takes in, by provider kind and upstream id.

The facts are in `windows.txt` (its head says where they are from).
"""

from functools import lru_cache

from portico.providers.catalogue import Catalogue


def read_window(text: str) -> int | None:
    """Tokens, as the table has them; None for its 0."""
    return int(text) or None


TABLE = Catalogue("windows.txt", read_window)


@lru_cache(maxsize=1024)
def context_window(kind: str, model: str) -> int | None:
    """Tokens that `model` (the upstream id) takes in at a provider of this kind; None if that is
    not known. What the operator writes (`contextWindow`) is better, and looked at first elsewhere.
    """
    return TABLE.find(kind, model)
