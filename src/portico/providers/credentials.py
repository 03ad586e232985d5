"""Credentials that depend on the request or run out, in the form the gateway asks for them."""

import time
from collections.abc import Callable

from portico.providers.signing.aws import AwsCredential
from portico.providers.signing.sigv4 import sign

BEDROCK_SERVICE = "bedrock"
"""What signatures for every Bedrock host are for.
https://docs.aws.amazon.com/general/latest/gr/bedrock.html (2026-11-21)"""


class AwsAuthorize:
    """Signs each request with the keys of the moment (SigV4)."""

    __slots__ = ("_clock", "_credential", "_region")

    def __init__(
        self,
        credential: AwsCredential,
        region: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credential = credential
        self._region = region
        self._clock = clock

    def headers(self, method: str, path: bytes, host: bytes, body: bytes) -> bytes | None:
        """The signature's header lines; None while there are no keys. The `content-type` signed is
        the one that every request of the gateway has."""
        keys = self._credential.current()
        if keys is None:
            return None
        place, _, query = path.decode("ascii").partition("?")
        return sign(
            method=method,
            path=place,
            query=query,
            headers=(("host", host.decode("ascii")), ("content-type", "application/json")),
            body=body,
            credential=keys,
            region=self._region,
            service=BEDROCK_SERVICE,
            now=self._clock(),
        )

    async def ready(self) -> None:
        """Wait for keys. Raises `UpstreamAuth`."""
        await self._credential.keys()
