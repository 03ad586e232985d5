"""A process that saves responses for ever and names each on stdout once it is saved.

`python -m tests.faults.saver URL PREFIX`. To be killed.
"""

import asyncio
import os
import sys

from tests.support.stored import conversation, items, stored

from portico.store.opening import open_store

IN_FLIGHT = 16


async def _save_for_ever(url: str, prefix: str) -> None:
    store = open_store(url)
    await store.start()
    await store.create_conversation(conversation(f"c_{prefix}"), [])

    async def save(lane: int) -> None:
        at = 0
        while True:
            name = f"{prefix}_{lane}_{at}"
            own = lane % 4 == 0
            record = stored(
                name,
                f"{prefix}_{lane}_{at - 1}" if at else None,
                names=(f"msg_{name}",),
                conversation=f"c_{prefix}" if own else None,
            )
            await store.save(record, items(f"item_{name}") if own else ())
            os.write(1, f"{name}\n".encode())
            at += 1

    await asyncio.gather(*[save(lane) for lane in range(IN_FLIGHT)])


if __name__ == "__main__":
    asyncio.run(_save_for_ever(sys.argv[1], sys.argv[2]))
