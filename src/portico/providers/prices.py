"""What a model costs, by provider kind and upstream id: enough to sort by.

The facts are in `prices.txt` (its head says where they are from and of which day): list prices of
text, without cache, batch or volume terms; where a price depends on the size of the prompt, that of
a small one. Where a provider has no list here, the price of the model's maker stands in.
"""

from functools import lru_cache

from portico.providers.catalogue import Catalogue

Price = tuple[float, float]
"""US dollars for a million tokens: input, output."""


def read_price(text: str) -> Price | None:
    """`input,output`, as the table has them; None for its `-`."""
    if text == "-":
        return None
    before, _, after = text.partition(",")
    return float(before), float(after)


TABLE = Catalogue("prices.txt", read_price)


@lru_cache(maxsize=1024)
def price_of(kind: str, model: str) -> Price | None:
    """US dollars for a million tokens, input and output, of `model` (the upstream id) at a provider
    of this kind; None if that is not known. To compare targets by, not to bill by. What the
    operator writes (`cost`) is better, and looked at first elsewhere.

    The first call of a process reads the table (a few milliseconds).
    """
    return TABLE.find(kind, model)
