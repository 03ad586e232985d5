"""What a model name stands for, and the order in which its targets are asked. Pure.

A plan is a small tree: one model, models in shares, models in groups of priority, models by
condition. For a request it becomes tiers: groups of targets, the next one for when nothing of the
one before can be used.
"""

import random
from collections.abc import Callable, Container, Sequence
from hashlib import blake2b
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from msgspec import Struct

from portico.routing.health import Cooldown, Health
from portico.routing.matching import Facts

Sort: TypeAlias = Literal["cost", "ttft", "throughput"]
_FAR = float("inf")
_MOST_KEY = 512
"""Characters of a sticky key that count: it is hashed once for each target."""


class Credential:
    """One of the keys of a backend, and the target that uses it. `homes` are names of the account
    and its place, by which state that was made there says where it belongs."""

    __slots__ = ("cooldown", "homes", "target")

    def __init__(self, target: Any, homes: tuple[str, ...], cooldown: Cooldown) -> None:
        self.target = target
        self.homes = homes
        self.cooldown = cooldown


class Backend:
    """One model at one provider.

    `name` is the entry of the configuration, `key` tells backends apart, `provider` is the label.
    `price` says what a model id costs: dollars for a million tokens, three of input to one of
    output, infinite if unknown. `turn` is the credential to begin with.
    """

    __slots__ = ("credentials", "health", "key", "name", "price", "provider", "turn")

    def __init__(
        self,
        name: str,
        key: str,
        provider: str,
        credentials: Sequence[Credential],
        health: Health,
        price: Callable[[str], float],
    ) -> None:
        self.name = name
        self.key = key
        self.provider = provider
        self.credentials = tuple(credentials)
        self.health = health
        self.price = price
        self.turn = 0


class Choice(Struct, frozen=True, gc=False, eq=False):
    """A backend to ask, and the model name it is asked for; empty: the one the caller wrote."""

    backend: Backend
    asked: str = ""


Tier: TypeAlias = tuple[Choice, ...]
Tiers: TypeAlias = tuple[Tier, ...]


Holds: TypeAlias = Callable[[Facts], bool]
"""Whether a condition is met by the facts of a request."""


class Node(Protocol):
    """A part of a plan. `fixed` are its targets where they are the same for every request."""

    @property
    def fixed(self) -> Tiers | None:
        """None: they are not."""

    def tiers(self, facts: Facts, rng: random.Random) -> Tiers:
        """Its targets for one request. Raises `NoChoiceError`."""


class NoChoiceError(Exception):
    """No condition of a virtual model holds for the request. A part of a larger one is left out."""


class One:
    """A single model; `asked` as in `Choice`."""

    __slots__ = ("fixed",)

    def __init__(self, backend: Backend, asked: str = "") -> None:
        self.fixed: Tiers | None = ((Choice(backend, asked),),)

    def tiers(self, facts: Facts, rng: random.Random) -> Tiers:
        """One tier of one, the same for every request."""
        return self.fixed or ()


class Weighted(Struct, frozen=True, eq=False):
    """Models in shares: one is drawn, the others follow for when it cannot be used."""

    fixed: ClassVar[None] = None
    nodes: tuple[Node, ...]
    weights: tuple[int, ...]

    def tiers(self, facts: Facts, rng: random.Random) -> Tiers:
        """The drawn one's tiers, then those of the rest as they are drawn."""
        left = [(w, n) for w, n in zip(self.weights, self.nodes, strict=True) if w > 0]
        out: list[Tier] = []
        while left:
            at = rng.random() * sum([weight for weight, _ in left])
            for place, (weight, node) in enumerate(left):
                at -= weight
                if at < 0 or place == len(left) - 1:
                    out += _part(node, facts, rng)
                    del left[place]
                    break
        return _found(tuple(out))


class Failover(Struct, frozen=True, eq=False):
    """Models in groups of equals, the preferred group first."""

    groups: tuple[tuple[Node, ...], ...]

    @property
    def fixed(self) -> Tiers | None:
        """Where those of all members are."""
        members = [[node.fixed for node in group] for group in self.groups]
        if any(tiers is None for group in members for tiers in group):
            return None
        return _tiers([[tiers or () for tiers in group] for group in members])

    def tiers(self, facts: Facts, rng: random.Random) -> Tiers:
        """A tier per group; what a member has for second is a tier behind its group's."""
        parts = [[_part(node, facts, rng) for node in group] for group in self.groups]
        return _found(_tiers(parts))


def _part(node: Node, facts: Facts, rng: random.Random) -> Tiers:
    """The tiers of a part of a plan; none where it is not for this request."""
    try:
        return node.tiers(facts, rng)
    except NoChoiceError:
        return ()


def _found(tiers: Tiers) -> Tiers:
    if not tiers:
        raise NoChoiceError
    return tiers


def _tiers(groups: list[list[Tiers]]) -> Tiers:
    out: list[Tier] = []
    for members in groups:
        depths = range(max([len(tiers) for tiers in members], default=0))
        out += [_merged(members, depth) for depth in depths]
    return tuple(out)


def _merged(members: list[Tiers], depth: int) -> Tier:
    return tuple([c for tiers in members if depth < len(tiers) for c in tiers[depth]])


class Conditional(Struct, frozen=True, eq=False):
    """The first model whose condition holds; None holds always."""

    fixed: ClassVar[None] = None
    branches: tuple[tuple[Holds | None, Node], ...]

    def tiers(self, facts: Facts, rng: random.Random) -> Tiers:
        """The tiers of the branch. Raises `NoChoiceError`."""
        for holds, node in self.branches:
            if holds is None or holds(facts):
                return node.tiers(facts, rng)
        raise NoChoiceError


class Wishes(Struct, frozen=True, gc=False):
    """What a request wants of the choice. Provider names are casefolded. `origin`: the account that
    holds state which the request continues; `key`: requests with the same go to the same place;
    `asked`: the model name, for prices."""

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    sort: Sort | None = None
    origin: str = ""
    key: str = ""
    asked: str = ""


NO_WISHES = Wishes()


def narrowed(tiers: Tiers, wishes: Wishes) -> Tiers:
    """`tiers` without providers that are not wanted, those in `order` first. May be empty."""
    if wishes.only or wishes.ignore:
        tiers = tuple(
            kept
            for tier in tiers
            if (
                kept := tuple(
                    c
                    for c in tier
                    if (not wishes.only or c.backend.provider.casefold() in wishes.only)
                    and c.backend.provider.casefold() not in wishes.ignore
                )
            )
        )
    if not wishes.order:
        return tiers
    first = (
        tuple(c for c in tier if c.backend.provider.casefold() == provider)
        for provider in dict.fromkeys(wishes.order)
        for tier in tiers
    )
    rest = (
        tuple(c for c in tier if c.backend.provider.casefold() not in wishes.order)
        for tier in tiers
    )
    return tuple(tier for tier in (*first, *rest) if tier)


def best(choices: Sequence[Choice], wishes: Wishes, now: float, rng: random.Random) -> Choice:
    """One of several that can all be used.

    By the caller's wish, by the key that keeps a conversation in one place (rendezvous hashing: a
    target that comes or goes moves its own keys only), or by the power of two choices: the better
    of two at random, so that the best one is not run over by everybody at once.
    """
    if len(choices) == 1:
        return choices[0]
    sort = wishes.sort
    if sort == "ttft":
        return min(choices, key=lambda c: _seconds(c, now))
    if sort == "throughput":
        return max(choices, key=lambda c: _speed(c, now))
    if sort == "cost":
        prices = [choice.backend.price(choice.asked or wishes.asked) for choice in choices]
        least = min(prices)
        choices = [c for c, price in zip(choices, prices, strict=True) if price == least]
        if len(choices) == 1:
            return choices[0]
    if wishes.key:
        key = wishes.key[:_MOST_KEY]
        return max(choices, key=lambda c: _lot(key, c))
    count = len(choices)
    first = int(rng.random() * count)
    second = 1 - first
    if count > 2:
        second = (first + 1 + int(rng.random() * (count - 1))) % count
    one, two = choices[first].backend.health, choices[second].backend.health
    better = one.score(now, two.latency) <= two.score(now, one.latency)
    return choices[first if better else second]


def _seconds(choice: Choice, now: float) -> float:
    """To the first token. Unknown ones come first, or they would never be known."""
    health = choice.backend.health
    return health.ttft or health.latency or (0.0 if health.unknown(now) else _FAR)


def _speed(choice: Choice, now: float) -> float:
    """Tokens per second, likewise."""
    health = choice.backend.health
    return health.throughput or (_FAR if health.unknown(now) else 0.0)


def _lot(key: str, choice: Choice) -> bytes:
    """What a choice draws for a key. Not a CRC: those of similar names go up and down together."""
    text = f"{key}\0{choice.backend.key}\0{choice.asked}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def is_ready(backend: Backend, now: float, used: Container[Credential] = ()) -> bool:
    """Whether a credential of it is neither used up nor cooling down."""
    for credential in backend.credentials:
        if credential.cooldown.until <= now and credential not in used:
            return True
    return False


def ready(backend: Backend, now: float, used: Container[Credential] = ()) -> Credential:
    """The next credential in turn that `is_ready`; the one that will be first, if none is."""
    credentials = backend.credentials
    count = len(credentials)
    if count == 1:
        return credentials[0]
    for step in range(count):
        place = (backend.turn + step) % count
        credential = credentials[place]
        if credential.cooldown.until <= now and credential not in used:
            backend.turn = place + 1
            return credential
    left = [credential for credential in credentials if credential not in used] or credentials
    return min(left, key=lambda credential: credential.cooldown.until)
