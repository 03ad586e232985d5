"""A model named twice, or in a way that two readers understand differently: the one that was
authorised is the one that is asked for, or nobody is asked (D5)."""

import json
from typing import Any

import pytest
from tests.abuse.attackers import exchange, post
from tests.abuse.harness import Named, Stage, profiles, served
from tests.support.asks import ask
from tests.support.gateway import CALLER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _doubles(good: str, bad: str) -> dict[str, bytes]:
    turns = b'"messages":[{"role":"user","content":"x"}]'
    g, b = json.dumps(good).encode(), json.dumps(bad).encode()
    return {
        "bad, good": b'{"model":%b,"model":%b,%b}' % (b, g, turns),
        "good, bad": b'{"model":%b,"model":%b,%b}' % (g, b, turns),
        "far apart": b'{"model":%b,%b,"model":%b}' % (b, turns, g),
        "escaped name": b'{"m\\u006fdel":%b,"model":%b,%b}' % (b, g, turns),
        "escaped name behind": b'{"model":%b,"m\\u006fdel":%b,%b}' % (g, b, turns),
        "all escaped": b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":%b,%b,"model":%b}' % (b, turns, g),
        "only escaped": b'{"m\\u006fdel":%b,%b}' % (g, turns),
        "three": b'{"model":%b,"model":%b,"model":%b,%b}' % (g, b, g, turns),
        "upper case": b'{"Model":%b,"model":%b,%b}' % (b, g, turns),
        "upper case behind": b'{"model":%b,"MODEL":%b,%b}' % (g, b, turns),
        "with a space": b'{"model":%b,"model ":%b,%b}' % (g, b, turns),
        "with a nul": b'{"model":%b,"model\\u0000":%b,%b}' % (g, b, turns),
        "value with a nul": b'{"model":%b,%b}' % (g[:-1] + b'\\u0000"', turns),
        "value in an array": b'{"model":[%b,%b],%b}' % (g, b, turns),
        "value in an object": b'{"model":{"id":%b},%b}' % (g, turns),
        "null": b'{"model":null,"model":%b,%b}' % (g, turns),
        "null behind": b'{"model":%b,"model":null,%b}' % (g, turns),
        "escaped value": b'{"model":"\\u0061llowed",%b}' % turns,
        "models": b'{"model":%b,"models":[%b],%b}' % (g, b, turns),
        "models twice": b'{"model":%b,"models":[],"models":[%b],%b}' % (g, b, turns),
        "models escaped": b'{"model":%b,"model\\u0073":[%b],%b}' % (g, b, turns),
        "fallbacks": b'{"model":%b,"fallbacks":[%b],%b}' % (g, b, turns),
        "gateway models": b'{"model":%b,"providerOptions":{"gateway":{"models":[%b]}},%b}'
        % (g, b, turns),
        "gateway twice": b'{"model":%b,"providerOptions":{"gateway":{},'
        b'"gateway":{"models":[%b]}},%b}' % (g, b, turns),
        "options twice": b'{"model":%b,"providerOptions":{},"providerOptions":{"gateway":'
        b'{"models":[%b]}},%b}' % (g, b, turns),
        "both spellings": b'{"model":%b,"providerOptions":{"gateway":{}},"provider_options":'
        b'{"gateway":{"models":[%b]}},%b}' % (g, b, turns),
        "preset": b'{"model":%b,"preset":%b,%b}' % (g, b, turns),
        "a hosted tool": b'{"model":%b,"tools":[{"type":"image_generation","model":%b}],%b}'
        % (g, b, turns),
        "lone surrogate": b'{"model":"allowed\\ud800",%b}' % turns,
        "lone surrogate name": b'{"model":%b,"\\udc00":1,%b}' % (g, turns),
        "invalid UTF-8": b'{"model":"allowed\xff",%b}' % turns,
        "overlong": b'{"model":"\xc1\xa1llowed",%b}' % turns,
        "300 characters": b'{"model":"%b",%b}' % (b"a" * 300, turns),
        "byte order mark": b'\xef\xbb\xbf{"model":%b,%b}' % (g, turns),
        "UTF-16": ('{"model":"allowed","messages":[]}').encode("utf-16"),
        "behind the end": b'{"model":%b,%b}{"model":%b}' % (g, turns, b),
        "comment": b'{"model":%b,/*"model":%b,*/%b}' % (g, b, turns),
        "trailing comma": b'{"model":%b,%b,}' % (g, turns),
        "single quotes": b"{'model':%b,%b}" % (g, turns),
    }


def _both_readers(text: bytes) -> set[Any]:
    """The model, as readers understand it in which the first or the last one wins, and in which
    case does not matter."""
    found: list[Any] = []

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        found[:] = [value for name, value in given if name.casefold() == "model"]
        return dict(given)

    json.loads(text, object_pairs_hook=pairs)  # the outermost object is told last
    return set(found)


@profiles
async def test_d5_the_model_that_was_authorised_is_the_model_that_is_asked(
    stage: Stage, full: bool
) -> None:
    limited = "gw-limited-0123456789abcdef"
    keys = [{"key": CALLER_KEY, "metadata": {"team": "abuse"}},
            {"key": limited, "allowedModels": ["allowed"]}]  # fmt: skip
    models = [served("allowed", stage.provider.url, "chat", "allowed-up"),
              served("forbidden", stage.provider.url, "chat", "forbidden-up"),
              served("other", stage.provider.url, "messages", "allowed-up")]  # fmt: skip
    bodies = _doubles("allowed", "forbidden")
    rights = {"apiKey": {"keys": keys}}
    async with (
        stage.configured(models, policies=rights),
        stage.case("D5 doubles", full=full) as case,
    ):
        for name, data in bodies.items():
            start = len(stage.provider.requests)
            case.expect(1)
            raw = post("/v1/chat/completions", data, key=limited)
            found = await exchange(stage.gateway.port, raw, most=1)
            asked = stage.provider.requests[start:]
            assert found.statuses[0] in (200, 400, 403, 404), (name, found)
            assert len(asked) == (found.statuses[0] == 200), name
            for seen in asked:
                assert _both_readers(seen.body) == {"allowed-up"}, (name, seen.body)
                if not name.startswith("with a"):  # those are other names to every reader
                    assert b"forbidden" not in seen.body, (name, seen.body)
            assert b"forbidden-up" not in found.answers[0].body
        for lane in (
            Named("chat", "chat", name="forbidden"),
            Named("chat", "chat", name="nowhere"),
        ):
            case.expect(1)
            data = json.dumps(ask("chat", "hi", model=lane.model)).encode()
            raw = post("/v1/chat/completions", data, key=limited)
            refused = await exchange(stage.gateway.port, raw, most=1)
            assert refused.statuses == [404], "what is forbidden looks like what is not there"
