"""Changes to bodies, headers and prompts: from blocks at several levels to settings."""

from collections.abc import Mapping, Sequence

from portico.config import resilience
from portico.config.errors import Path, Report
from portico.config.merge import merged
from portico.config.schema_shaping import BodyShape, HeaderChanges, PromptEntry, Prompts, Rules
from portico.config.schema_shaping import Cost as CostEntry
from portico.config.settings import Cost, HeaderRules, Prompt, Shaping
from portico.wire.header_rules import is_fixed_request, is_fixed_response
from portico.wire.headers import has_control, is_token

CREDENTIALS = frozenset(
    ("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token")
)
"""The fields that providers take a credential from."""

_REFUSED = {
    "model": "the model is chosen by name; use params.model, or an alias",
    "stream": "only the caller knows how it reads the answer",
}


def check(rules: Rules, path: Path, report: Report) -> None:
    """What is wrong with the rules of one block."""
    resilience.check(rules, path, report)
    check_body(rules, path, report)
    check_headers(rules.request_headers, (*path, "requestHeaders"), report, towards_provider=True)
    check_headers(
        rules.response_headers, (*path, "responseHeaders"), report, towards_provider=False
    )


def check_body(block: Rules | BodyShape, path: Path, report: Report) -> None:
    """What is wrong with `defaults` and `overrides`."""
    for key, members in (("defaults", block.defaults), ("overrides", block.overrides)):
        for name in members or ():
            if name in _REFUSED:
                report.add((*path, key, name), _REFUSED[name])


def check_headers(
    changes: HeaderChanges | None, path: Path, report: Report, *, towards_provider: bool
) -> None:
    """What is wrong with changes to header fields."""
    if changes is None:
        return
    for key, fields in (("set", changes.set or {}), ("add", changes.add or {})):
        seen: set[str] = set()
        for name, value in fields.items():
            where = (*path, key, name)
            _check_name(name, where, report, towards_provider=towards_provider)
            if name.lower() in seen:
                report.add(where, "is written twice, in other letters")
            seen.add(name.lower())
            if _unfit(value):
                report.add(where, "a header's value has no control characters, and Latin-1 only")
    for i, name in enumerate(changes.remove or ()):
        _check_name(name, (*path, "remove", i), report, towards_provider=towards_provider)


def _check_name(name: str, path: Path, report: Report, *, towards_provider: bool) -> None:
    if not name.isascii() or not is_token(name.lower().encode("ascii")):
        report.add(path, "not the name of a header")
    elif towards_provider and name.lower() in CREDENTIALS:
        report.add(path, "carries the provider's key; use apiKey, or backendAuth in binds")
    elif (is_fixed_request if towards_provider else is_fixed_response)(name):
        report.add(path, "is written by the gateway itself and cannot be changed")


def _unfit(value: str) -> bool:
    try:
        return bool(has_control(value.encode("latin-1")))
    except UnicodeEncodeError:
        return True


def shaping(layers: Sequence[Rules]) -> Shaping | None:
    """What the layers come to, the innermost first; None if they change nothing."""
    body = merged(
        BodyShape,
        [BodyShape(defaults=r.defaults, overrides=r.overrides, prompts=r.prompts) for r in layers],
    )
    prompts = body.prompts or Prompts()
    found = Shaping(
        defaults=_members(body.defaults),
        overrides=_members(body.overrides),
        request_headers=_headers([rules.request_headers for rules in layers]),
        response_headers=_headers([rules.response_headers for rules in layers]),
        prepend=_prompts(prompts.prepend),
        append=_prompts(prompts.append),
    )
    return None if found == Shaping() else found


def _members(written: Mapping[str, str] | None) -> dict[str, bytes]:
    return {name: text.encode() for name, text in (written or {}).items()}


def _prompts(written: tuple[PromptEntry, ...] | None) -> tuple[Prompt, ...]:
    return tuple(Prompt(role=entry.role, content=entry.content) for entry in written or ())


def _headers(levels: Sequence[HeaderChanges | None]) -> HeaderRules | None:
    """One set of rules. Whoever names a field further in decides about it alone."""
    changed: dict[str, str] = {}
    added: list[tuple[str, str]] = []
    removed: dict[str, None] = {}
    taken: set[str] = set()
    for level in levels:
        if level is None:
            continue
        put = {name.lower(): value for name, value in (level.set or {}).items()}
        more = [(name.lower(), value) for name, value in (level.add or {}).items()]
        gone = [name.lower() for name in level.remove or ()]
        changed |= {name: value for name, value in put.items() if name not in taken}
        added += [(name, value) for name, value in more if name not in taken]
        removed |= {name: None for name in gone if name not in taken}
        taken |= {*put, *(name for name, _ in more), *gone}
    if not taken:
        return None
    return HeaderRules(set=tuple(changed.items()), add=tuple(added), remove=tuple(removed))


def cost(block: CostEntry | None) -> Cost | None:
    """What tokens cost, as written."""
    return None if block is None else Cost(input=block.input, output=block.output)
