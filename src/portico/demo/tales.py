"""The demo model's repertoire. Short, readable, and never pretending to be a real model."""

from functools import lru_cache

from msgspec import Struct

__all__ = ["REFUSAL", "SOURCES", "STORIES", "Source", "found", "greeting"]

REFUSAL = "I cannot help with that: a demo directive asked me to refuse."

_CREDIT = "(Told by the demo model of Portico: scripted, free of charge, and made on this machine.)"

STORIES = (
    "In a harbour town there was a gate with many doors. Ships came from every country, each "
    "captain speaking a tongue of their own, and the keeper of the gate answered them all. She "
    "never opened a crate that was not addressed to her, she counted every coin twice, and when a "
    "ship turned back in the fog she put out the lantern at once, so that no oil was wasted. One "
    "winter night a captain asked how she remembered so many promises. “I write them down,” she "
    "said, “and then I keep them.”\n\n" + _CREDIT,
    "A young lighthouse wanted to be a comet. Every evening it watched the bright ones cross the "
    "sky and sighed, until a fishing boat passed below and rang its bell. “Comets are lovely,” "
    "called the skipper, “but nobody ever found the way home by one.” The lighthouse thought "
    "about this for a whole tide. Then it turned its lamp, slowly and on time, and has been "
    "rather proud of it ever since.\n\n" + _CREDIT,
    "Two messengers were sent across the mountains with the same letter. The first ran, fell, and "
    "arrived with half of it, saying it was the whole. The second walked, fell too, and arrived "
    "with half of it, saying so at the door. The queen sent the second one back for the rest, and "
    "trusted every letter he carried after that. The first still wonders why.\n\n" + _CREDIT,
)


@lru_cache(maxsize=512)
def greeting(model: str, quoted: str) -> str:
    """The answer to anything the script has no better answer to."""
    who = f"{model}, the demo model of Portico"
    if not model.startswith("demo"):
        who = f"the demo model of Portico, standing in for {model}"
    heard = f" You said: “{quoted}”." if quoted else ""
    return (
        f"Hello! I am {who}. I am a small script on this machine: no key was used and nothing was "
        f"sent anywhere.{heard} Ask me for a story, offer me a tool, or ask for JSON."
    )


class Source(Struct, frozen=True):
    """A page the demo search finds. The answer quotes `quote`, and cites the page for it."""

    url: str
    title: str
    quote: str


SOURCES = (
    Source("https://example.com/demo/gate", "The Gate", "The gate has many doors — all counted."),
    Source("https://example.org/demo/keeper", "The Keeper", "The keeper answers every captain."),
)


def found(sources: tuple[Source, ...]) -> str:
    """The answer after a search: what each source says, in order."""
    return " ".join(source.quote for source in sources)
