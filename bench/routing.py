"""What the attempt loop costs per request: `python -m bench.routing` prints CPU microseconds.

The machine and the health of targets alone, as `gateway/attempts.py` uses them for a request that
goes well; least of several rounds. The bound is 3 us.
"""

import time
from random import Random

from portico.config.settings import HealthSettings, RetrySettings
from portico.routing.attempts import Attempts, Try
from portico.routing.budget import RetryBudget
from portico.routing.health import Cooldown, Health
from portico.routing.plan import NO_WISHES, Backend, Credential, Failover, One, Tiers

REQUESTS = 100_000
ROUNDS = 5


def _backend(name: str) -> Backend:
    credential = Credential(None, (name,), Cooldown())
    return Backend(name, name, name, [credential], Health(HealthSettings()), lambda _: 0.0)


def _seconds(tiers: Tiers) -> float:
    rules, budget, rng = RetrySettings(), RetryBudget(0.2, 3.0, 0.0), Random(1)
    now = 1000.0
    start = time.process_time()
    for _ in range(REQUESTS):
        machine = Attempts(tiers, rules, budget, now + 3600.0, rng, NO_WISHES, (), ())
        if not isinstance(machine.begin(now), Try):
            raise RuntimeError("there is a target")
        machine.connected()
        machine.finished(now, 0.01)
        now += 0.0005
    return (time.process_time() - start) / REQUESTS


def main() -> None:
    """Print one line per plan."""
    plans: dict[str, Tiers] = {
        "one target": One(_backend("a")).fixed or (),
        "two in a group": Failover(((One(_backend("a")), One(_backend("b"))),)).fixed or (),
        "two in order": Failover(((One(_backend("a")),), (One(_backend("b")),))).fixed or (),
    }
    for name, tiers in plans.items():
        best = min(_seconds(tiers) for _ in range(ROUNDS))
        print(f"{name:16} {best * 1e6:5.2f} us")


if __name__ == "__main__":
    main()
