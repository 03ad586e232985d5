"""What a request says about where it goes, and what the first frames of a stream say.

A caller's controls, the conditions of an operator asked of any request, and the peek before an
answer is committed. An input of the first two is one JSON object; its members whose names begin
with `x-` are headers.
"""

from msgspec import Raw
from tests.fuzz.kit import Target
from tests.support import goldens
from tests.support.mutate import Seed

from portico.config.settings import Condition, ValueTest
from portico.dialects.registry import DIALECTS
from portico.errors import BadRequest
from portico.gateway import controls as kinds
from portico.gateway.controls import CONTROL_FIELDS, read_controls
from portico.routing.matching import DERIVED, Facts, compile_condition
from portico.wire.json import is_json, shallow
from portico.wire.sse import iter_frames

_PATHS = (*DERIVED, "model", "metadata.tier", "a.b.c", "input", "tools")
_TESTS = (
    ValueTest(equals="a"), ValueTest(equals=12), ValueTest(equals=True), ValueTest(gte=1.5, lt=9),
    ValueTest(one_of=("low", 3, False)), ValueTest(prefix="g", suffix="x"), ValueTest(contains="a"),
    ValueTest(present=True), ValueTest(present=False),
)  # fmt: skip
_CONDITIONS = [
    (compile_condition(asked), compile_condition(Condition(none=(asked,))))
    for test in _TESTS
    for asked in (
        *[Condition(request={path: test}) for path in _PATHS],
        Condition(headers={"x-tier": test}),
        Condition(caller={"x-tier": test}),
    )
]
_SIGHTS = frozenset(("nothing", "error", "content"))
_PEEKING = [DIALECTS[name].opening for name in ("responses", "completions", "messages")]


def _request(data: bytes) -> tuple[dict[str, Raw], dict[bytes, bytes]] | None:
    """Members of a body, and headers; None if the edge would not let it in."""
    try:
        members = shallow(data)
        headers = {
            name.encode(): bytes(members.pop(name)).strip(b'"')
            for name in list(members)
            if name.startswith("x-")
        }
    except BadRequest:
        return None
    return members, headers


def controls(data: bytes) -> None:
    """Controls: within their bounds, or a `BadRequest`."""
    request = _request(data)
    if request is None:
        return
    try:
        found = read_controls(*request)
    except BadRequest:
        return
    if found is None:
        return
    assert found.consumed <= request[0].keys() & CONTROL_FIELDS
    assert found.rest.keys() <= found.consumed
    assert all(is_json(text) for text in found.rest.values())
    assert len(found.models) <= kinds.MOST_MODELS
    assert len(found.tags) <= kinds.MOST_TAGS
    for names in (found.order, found.only, found.ignore, tuple(found.timeouts)):
        assert len(names) <= kinds.MOST_PROVIDERS
        assert all(name and name == name.casefold() for name in names)
    assert all(0 < wait <= 3600 for wait in found.timeouts.values())
    assert found.user.isprintable() or not any(ord(letter) < 32 for letter in found.user)


def conditions(data: bytes) -> None:
    """Conditions: whatever a request holds, each is met or not."""
    request = _request(data)
    if request is None:
        return
    fields, headers = request
    caller = {name.decode(): value.decode("latin-1") for name, value in headers.items()}
    facts = Facts(
        headers=headers, caller=caller, fields=fields, model="gpt-x", stream=True,
        dialect="responses", body_bytes=len(data),
    )  # fmt: skip
    for condition, opposite in _CONDITIONS:
        assert condition.matches(facts) is not opposite.matches(facts)


def opening(data: bytes) -> None:
    """The beginning of a stream: each frame says something known, in every dialect."""
    for frame in iter_frames(data)[:50]:
        for sight in _PEEKING:
            assert sight(frame) in _SIGHTS


_ASKED = (
    (
        b'{"model":"a","providerOptions":{"gateway":{"order":["Azure","openai"],"only":["x"],'
        b'"sort":"cost","models":["b","c"],"tags":["t"],"user":"u",'
        b'"providerTimeouts":{"byok":{"azure":1500},"x":20}},"openai":{"k":1}}}'
    ),
    (
        b'{"models":["b"],"provider":{"order":["a"],"allow_fallbacks":false,"ignore":["z"],'
        b'"sort":{"by":"latency","partition":"model"},"data_collection":"allow","zdr":null}}'
    ),
    (
        b'{"x-portico-models":"b, c","x-portico-order":"a,b","x-portico-only":"a",'
        b'"x-portico-ignore":"c","x-portico-sort":"tps","x-portico-tags":"t","x-portico-user":"u",'
        b'"x-portico-timeout":"a=100,b = 2.5,300"}'
    ),
    (
        b'{"model":"gpt-x","x-tier":"12","metadata":{"tier":"a"},"a":{"b":{"c":12.0}},"tools":[{},{}],'
        b'"input":[1,2,3],"max_tokens":3,"reasoning":{"effort":"low"}}'
    ),
    b'{"messages":[{"role":"user","content":"a"}],"reasoning_effort":"low","stream":true}',
)


def _requests() -> list[Seed]:
    return [Seed(text, "json") for text in _ASKED]


def _beginnings() -> list[Seed]:
    return [
        Seed(goldens.case(name).stream(upstream), "sse")
        for upstream in ("responses", "chat", "messages")
        for name in goldens.cases()
    ]


TARGETS = {
    "controls": Target(controls, _requests),
    "conditions": Target(conditions, _requests),
    "opening": Target(opening, _beginnings),
}
