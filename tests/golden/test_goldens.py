"""The golden matrix: every case through every pair of dialects, compared with what is on file.

`PORTICO_UPDATE_GOLDENS=1` writes the files anew: read the difference before committing it.
"""

import difflib
import json
import os
import random
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tests.support import goldens, official, responses_grammar, witness
from tests.support.goldens import Case, Pair, case, told
from tests.support.next_turn import next_turn, opaque
from tests.support.same import same_answer

from portico.dialects.registry import DIALECTS
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import UpstreamFault
from portico.limits import Limits
from portico.model.losses import Losses
from portico.model.response import fold
from portico.model.sequence import Sequencer

decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
GATEWAY_ONLY = {"caching", "allowed_tools"}
"""Parameters that no provider of the dialect knows."""
UPDATE = os.environ.get("PORTICO_UPDATE_GOLDENS") == "1"
SPLICED = {"responses": "responses", "chat": "completions", "messages": "messages"}
PAIRS = [
    (name, client, upstream)
    for name in goldens.cases()
    for client in CLIENTS
    for upstream in UPSTREAMS
    if client != upstream
]
every_pair = pytest.mark.parametrize(("name", "client", "upstream"), PAIRS)


def pair_of(name: str, client: str, upstream: str) -> tuple[Case, Pair]:
    found = case(name)
    return found, Pair(found, client, upstream, goldens.body(found, client, upstream))


def hold(found: Case, client: str, upstream: str, name: str, text: str) -> None:
    """Compare with the file, or write it."""
    path: Path = found.folder / f"{client}-{upstream}" / name
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
        return
    assert path.exists(), f"{path} is missing: run with PORTICO_UPDATE_GOLDENS=1 and read it"
    known = path.read_bytes().decode()
    if text != known:
        lines = difflib.unified_diff(
            known.split("\n"), text.split("\n"), "on file", "now", lineterm="", n=4
        )
        pytest.fail(f"{path.relative_to(goldens.ROOT)} differs:\n" + "\n".join(lines))


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


@every_pair
def test_the_upstream_request_is_the_golden_one(name: str, client: str, upstream: str) -> None:
    found, pair = pair_of(name, client, upstream)
    body = json.loads(pair.payload)
    official.check_request(upstream, body)
    hold(found, client, upstream, "upstream_request.json", pretty(body))


@every_pair
def test_nothing_the_client_sent_is_lost_in_silence(name: str, client: str, upstream: str) -> None:
    found, pair = pair_of(name, client, upstream)
    asked = json.loads(goldens.body(found, client, upstream))
    sent = json.loads(pair.payload)
    assert witness.silent(client, upstream, asked, sent, pair.losses) == []


@every_pair
def test_the_losses_are_the_golden_ones(name: str, client: str, upstream: str) -> None:
    """Of the request, of the answer in one piece, and of the stream, which are the same."""
    found, pair = pair_of(name, client, upstream)
    of_whole: Losses = []
    of_stream: Losses = []
    answer = found.answer(upstream)
    if answer is not None:
        pair.whole(answer, of_whole)
    pair.stream(found.stream(upstream), of_stream)
    if answer is not None and found.comparable(client, upstream):
        assert set(told(of_whole)) == set(told(of_stream))
    losses: Any = {"request": told(pair.losses), "answer": told(of_stream)}
    refused = goldens.refusals(found, client, upstream)
    if refused:
        losses["refused"] = refused
    hold(found, client, upstream, "losses.json", pretty(losses))


@every_pair
def test_the_clients_answer_is_the_golden_one(name: str, client: str, upstream: str) -> None:
    found, pair = pair_of(name, client, upstream)
    answer = found.answer(upstream)
    if answer is None:
        fault = error_of(found, pair, upstream)
        envelope = json.loads(DIALECTS[SPLICED[client]].encode_error(fault, "req_golden"))
        text = pretty({"status": fault.http_status, "retry_after": fault.retry_after, **envelope})
        hold(found, client, upstream, "client_response.json", text)
        return
    told_answer = pair.whole(answer, [])
    official.check_answer(client, told_answer)
    hold(found, client, upstream, "client_response.json", pretty(told_answer))


def error_of(found: Case, pair: Pair, upstream: str) -> UpstreamFault:
    error = found.error(upstream)
    headers = {key.encode(): value.encode() for key, value in error["headers"].items()}
    body = json.dumps(error["body"]).encode()
    fault = pair.uplink.side.read_error(error["status"], headers, body)
    after = error["headers"].get("retry-after")  # the lane hands it on
    if after is not None and fault.retry_after is None:
        fault.retry_after = after
    return fault


@every_pair
def test_the_clients_stream_is_the_golden_one(name: str, client: str, upstream: str) -> None:
    found, pair = pair_of(name, client, upstream)
    stream = pair.stream(found.stream(upstream), [])
    folded = official.check_stream(client, stream)
    if client == "responses":
        final = responses_grammar.check(stream)
        if folded is not None:
            assert final == folded
    answer = found.answer(upstream)
    if answer is None:
        assert folded is None or folded["status"] == "failed"
    elif found.comparable(client, upstream):
        assert folded is not None
        same_answer(client, pair.whole(answer, []), folded)
    hold(found, client, upstream, "client_stream.txt", stream.decode())


@every_pair
def test_the_stream_does_not_depend_on_how_its_bytes_are_cut(
    name: str, client: str, upstream: str
) -> None:
    found, pair = pair_of(name, client, upstream)
    stream = found.stream(upstream)
    known = pair.stream(stream, [])
    assert pair.stream(stream, [], list(range(1, len(stream)))) == known
    chance = random.Random(zlib.crc32(f"{name}{client}{upstream}".encode()))
    for _ in range(5):
        cuts = sorted(chance.sample(range(1, len(stream)), min(12, len(stream) - 1)))
        assert pair.stream(stream, [], cuts) == known


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        (name, upstream)
        for name in goldens.cases()
        for upstream in UPSTREAMS
        if upstream not in case(name).whole_differs and case(name).answer(upstream) is not None
    ],
)
def test_a_folded_stream_is_the_answer_in_one_piece(name: str, upstream: str) -> None:
    """In hub terms, before any client's dialect has a say."""
    found = case(name)
    answer = found.answer(upstream)
    assert answer is not None
    client = next(client for client in CLIENTS if client != upstream)
    _, pair = pair_of(name, client, upstream)
    told_stream = [event for some in pair.events(found.stream(upstream), []) for event in some]
    one = fold(Sequencer().feed(told_stream))
    other = fold(Sequencer().feed(pair.uplink.side.read(answer, pair.upstream)))
    assert one == other


@pytest.mark.parametrize(
    ("name", "client", "upstream"), [pair for pair in PAIRS if case(pair[0]).turns > 1]
)
def test_the_second_turn_takes_everything_back(name: str, client: str, upstream: str) -> None:
    """The client sends the answer back; the provider gets its own opaque state byte for byte."""
    found, pair = pair_of(name, client, upstream)
    answer = found.answer(upstream)
    assert answer is not None
    whole = pair.whole(answer, [])
    body = next_turn(client, json.loads(goldens.body(found, client, upstream)), whole)
    second = Pair(found, client, upstream, json.dumps(body).encode())
    request = json.loads(second.payload)
    official.check_request(upstream, request)
    text = json.dumps(request)
    for proof in opaque(json.loads(answer)):
        assert json.dumps(proof)[1:-1] in text
    folded = official.check_stream(client, pair.stream(found.stream(upstream), []))
    again = next_turn(client, json.loads(goldens.body(found, client, upstream)), folded)
    same = Pair(found, client, upstream, json.dumps(again).encode())
    assert json.loads(same.payload) == request, "the stream led to another second turn"
    value = {"request": request, "losses": told(second.losses)}
    hold(found, client, upstream, "second_turn.json", pretty(value))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", goldens.cases())
def test_to_its_own_dialect_only_the_model_changes(name: str, client: str) -> None:
    found = case(name)
    body = found.request(client)
    spliced = DIALECTS[SPLICED[client]].read(body, Limits())
    if spliced.changes is None:
        assert spliced.render(spliced.model) == body
    ours = set(spliced.fields) - set(_members(spliced.render("upstream-model")))
    assert ours <= GATEWAY_ONLY
    asked = {key: value for key, value in _members(body).items() if key not in ours}
    sent = _members(spliced.render("upstream-model"))
    assert sent.pop("model") == b'"upstream-model"'
    changed = {key for key in sent if sent[key] != asked.get(key)}
    assert changed <= set(spliced.changes or ())
    assert changed <= {"stream_options"}


def _members(body: bytes) -> dict[str, bytes]:
    return {key: bytes(raw) for key, raw in decode_members(body).items()}


SPEC = os.environ.get("PORTICO_OPEN_RESPONSES_SPEC", "")


@pytest.mark.skipif(not SPEC, reason="PORTICO_OPEN_RESPONSES_SPEC names no OpenAPI file")
@pytest.mark.parametrize("name", ["text", "tools", "reasoning", "cut", "refusal"])
@pytest.mark.parametrize("upstream", [name for name in UPSTREAMS if name != "responses"])
def test_answers_are_what_the_open_responses_schema_says(name: str, upstream: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    found, pair = pair_of(name, "responses", upstream)
    answer = found.answer(upstream)
    assert answer is not None
    spec = json.loads(Path(SPEC).read_bytes())
    schema = {"$ref": "#/components/schemas/ResponseResource", "components": spec["components"]}
    jsonschema.validate(pair.whole(answer, []), schema)
