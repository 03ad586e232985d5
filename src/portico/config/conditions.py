"""`when`: an expression in CEL, or a mapping -> a condition."""

import json
from collections.abc import Mapping

from portico.config import expressions
from portico.config.errors import Path, Report
from portico.config.schema_routing import Matcher, ValueRule
from portico.config.settings import Condition, ValueTest, When
from portico.wire.headers import is_token

Scalar = str | int | float | bool

MAX_DEPTH = 8


def condition(written: str | Matcher, path: Path, report: Report) -> When:
    """What `written` means. Problems go to `report`."""
    if isinstance(written, Matcher):
        return _matcher(written, path, report, 0)
    try:
        expressions.check(written, expressions.OF_A_REQUEST)
    except ValueError as error:
        report.add(path, str(error))
    return written


def _matcher(block: Matcher, path: Path, report: Report, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        report.add(path, f"conditions go {MAX_DEPTH} deep")
        return Condition()
    if block == Matcher():
        report.add(path, "says nothing; leave it out where every request is meant")
    for name in block.headers:
        if not name.isascii() or not is_token(name.lower().encode("ascii")):
            report.add((*path, "headers", name), "not the name of a header")
        elif not name.islower() and name.lower() in block.headers:
            report.add((*path, "headers", name), "is written twice, in other letters")
    for name in block.request:
        if not all(name.split(".")):
            report.add((*path, "request", name), "expected a path such as reasoning.effort")
    return Condition(
        headers={
            name.lower(): test
            for name, test in _tests(block.headers, (*path, "headers"), report).items()
        },
        caller=_tests(block.caller, (*path, "caller"), report),
        request=_tests(block.request, (*path, "request"), report),
        any=_several(block.any, (*path, "any"), report, depth),
        none=_several(block.none, (*path, "none"), report, depth),
    )


def _several(
    blocks: tuple[Matcher, ...] | None, path: Path, report: Report, depth: int
) -> tuple[Condition, ...]:
    if blocks == ():
        report.add(path, "list at least one condition")
    return tuple(
        _matcher(block, (*path, i), report, depth + 1) for i, block in enumerate(blocks or ())
    )


def _tests(
    written: Mapping[str, str | ValueRule], path: Path, report: Report
) -> dict[str, ValueTest]:
    return {name: _test(rule, (*path, name), report) for name, rule in written.items()}


def _test(rule: str | ValueRule, path: Path, report: Report) -> ValueTest:
    if isinstance(rule, str):
        return ValueTest(equals=_scalar(rule))
    if rule == ValueRule():
        report.add(path, "says nothing; write a value, or one of equals, in, present and so on")
    if rule.one_of == ():
        report.add((*path, "in"), "list at least one value")
    if rule.present is False and rule != ValueRule(present=False):
        report.add(path, "present: false leaves nothing else to test")
    return ValueTest(
        equals=None if rule.equals is None else _scalar(rule.equals),
        one_of=tuple(_scalar(each) for each in rule.one_of or ()),
        prefix=rule.prefix,
        suffix=rule.suffix,
        contains=rule.contains,
        present=rule.present,
        lt=rule.lt,
        lte=rule.lte,
        gt=rule.gt,
        gte=rule.gte,
    )


def _scalar(text: str) -> Scalar:
    """A value from the JSON text that the schema holds."""
    value: Scalar = json.loads(text)
    return value
