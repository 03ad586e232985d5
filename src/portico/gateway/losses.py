"""Telling the caller what translation changed or left out."""

import re

from portico.errors import BadRequest
from portico.model.losses import Losses

MOST_LISTED = 20
LONGEST_PATH = 80
_FOREIGN = re.compile(r"[^A-Za-z0-9_.\[\]\-]")


def losses_header(losses: Losses) -> bytes:
    """`x-portico-losses: temperature=adapted, tools[2]=dropped`, each pair once, in order."""
    shown: dict[str, None] = {}
    for loss in losses:
        shown[f"{_FOREIGN.sub('_', loss.path[:LONGEST_PATH])}={loss.how}"] = None
    pairs = list(shown)
    text = ", ".join(pairs[:MOST_LISTED])
    if len(pairs) > MOST_LISTED:
        text += f", more={len(pairs) - MOST_LISTED}"
    return b"x-portico-losses: %b\r\n" % text.encode("ascii")


def refuse_losses(losses: Losses) -> BadRequest:
    """The 400 of a model whose `onLoss` is `reject`."""
    told = "; ".join(
        f"{_FOREIGN.sub('_', loss.path[:LONGEST_PATH])} {loss.how}: {loss.reason}"
        for loss in losses[:MOST_LISTED]
    )
    return BadRequest(
        f"This model refuses a request that has to be adapted to its provider: {told}.",
        code="lossy_translation",
        param=losses[0].path[:LONGEST_PATH],
    )
