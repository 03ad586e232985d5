"""The provider's id of a request gets into the record under whichever name it comes."""

import pytest

from portico.gateway.exchange import upstream_request_id


@pytest.mark.parametrize("name", [b"x-request-id", b"request-id", b"x-amzn-requestid"])
def test_each_name_is_known(name: bytes) -> None:
    assert upstream_request_id({name: b"req_1", b"other": b"x"}) == "req_1"


def test_an_id_is_kept_short_and_may_be_missing() -> None:
    assert upstream_request_id({b"request-id": b"x" * 500}) == "x" * 128
    assert upstream_request_id({b"x-request-id": b""}) == ""
