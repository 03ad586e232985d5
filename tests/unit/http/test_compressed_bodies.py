"""Compressed request bodies: gzip within its bounds, and nothing else."""

import gzip
import tracemalloc
import zlib

import pytest

from portico.errors import BadRequest, TooLarge, UnsupportedEncoding
from portico.http.body import SMALL, decoded
from portico.limits import Limits

PLAIN = b'{"model":"m"}'
LIMITS = Limits(body_bytes=1 << 20)


@pytest.mark.parametrize("coding", [b"identity", b"Identity"])
def test_identity_is_the_body_itself(coding: bytes) -> None:
    assert decoded(coding, PLAIN, LIMITS) is PLAIN


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
def test_gzip_is_inflated(coding: bytes) -> None:
    assert decoded(coding, gzip.compress(PLAIN), LIMITS) == PLAIN


@pytest.mark.parametrize(
    "coding", [b"br", b"zstd", b"deflate", b"gzip, gzip", b"gzip,br", b"", b"identity, gzip"]
)
def test_other_codings_are_415(coding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding) as caught:
        decoded(coding, gzip.compress(PLAIN), LIMITS)
    assert caught.value.http_status == 415


def test_repetitive_but_small_json_is_no_bomb() -> None:
    body = b" " * SMALL
    assert decoded(b"gzip", gzip.compress(body), LIMITS) == body


def test_the_ratio_is_bounded() -> None:
    packed = gzip.compress(b" " * (SMALL + 1))
    with pytest.raises(TooLarge):
        decoded(b"gzip", packed, LIMITS)


def test_the_size_is_bounded() -> None:
    plain = bytes(range(256)) * 5000
    packed = gzip.compress(plain, 0)
    with pytest.raises(TooLarge) as caught:
        decoded(b"gzip", packed, LIMITS)
    assert caught.value.http_status == 413
    assert decoded(b"gzip", packed, Limits(body_bytes=len(plain))) == plain


def test_a_bomb_costs_no_more_than_its_bound() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(256)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decoded(b"gzip", bomb, Limits(body_bytes=8 << 20))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_inside_a_member_stays_packed() -> None:
    inner = gzip.compress(b"\0" * (1 << 24))
    assert decoded(b"gzip", gzip.compress(inner), LIMITS) == inner


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PLAIN,
        gzip.compress(PLAIN)[:-1],
        gzip.compress(PLAIN)[:12],
        gzip.compress(PLAIN) + b"x",
        gzip.compress(PLAIN) + gzip.compress(PLAIN),
        zlib.compress(PLAIN),
        gzip.compress(PLAIN)[:-8] + b"\0" * 8,
    ],
    ids=["empty", "plain", "cut", "cut early", "surplus", "two members", "zlib", "bad checksum"],
)
def test_what_is_not_one_whole_member_is_400(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decoded(b"gzip", body, LIMITS)
    assert caught.value.code == "bad_gzip"
