"""A gateway that has to translate, and what must be as before once a request is over."""

import asyncio
from typing import Any

import pytest
from tests.faults.conftest import Launch, deadlines, quiet, settled
from tests.faults.tongues import COUNTS, PAIRS, provider
from tests.support.gateway import Gateway, caller, model, route, settings
from tests.support.upstream import ScriptedUpstream

from portico.limits import Limits

MIB = 1 << 20
every_pair = pytest.mark.parametrize(("client", "upstream"), PAIRS)


async def stand(
    launch: Launch, upstream: ScriptedUpstream | str, dialect: str, **changes: Any
) -> Gateway:
    """A gateway before a provider that speaks only `dialect`."""
    url = upstream if isinstance(upstream, str) else upstream.url
    limits = {k: v for k, v in changes.items() if k in Limits.__struct_fields__}
    times = {k: v for k, v in changes.items() if k not in limits}
    return await launch(
        settings(
            route([model("*", provider(url, dialect), "m")], [caller()]),
            limits=Limits(**limits),
            deadlines=deadlines(**times),
        )
    )


class Oracle:
    """What must be as it was before, once a request is over."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._sweeping = len(gateway.worker.sweeper.members)
        self._own = asyncio.current_task()
        self._tasks = len(self._others())

    def _others(self) -> list[Any]:
        """Tasks of the gateway: not those of the scripted provider."""
        tasks = asyncio.all_tasks() - {self._own}
        return [task for task in tasks if "portico" in repr(task.get_coro())]

    async def check(self, verdict: str, *, kept: int = 0, code: str | None = None) -> Any:
        """One record with that verdict; `kept` connections to the provider stay open for reuse."""
        gateway = self._gateway
        outcome = await gateway.last()
        await settled(lambda: quiet(gateway))
        pools = gateway.worker.client._pools.values()
        await settled(lambda: sum(pool.open_connections for pool in pools) <= kept)
        await settled(lambda: len(self._others()) <= self._tasks)
        members = self._sweeping + kept
        await settled(lambda: len(gateway.worker.sweeper.members) <= members)
        assert len(gateway.outcomes) == 1, "exactly one record"
        assert outcome.verdict == verdict, (outcome.verdict, outcome.error_code)
        assert outcome.lane == "translate"
        if code is not None:
            assert outcome.error_code == code
        if outcome.usage is not None and not outcome.usage.estimated:
            assert 0 <= outcome.usage.input_total <= COUNTS[0]
            assert 0 <= outcome.usage.output_total <= COUNTS[1]
        return outcome
