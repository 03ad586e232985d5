"""What the demo provider does with responses that it keeps."""

import json
from typing import Any

from tests.unit.demo.wires import send

from portico.demo.provider import DemoProvider

PATH = "/v1/responses"
BODY = {"model": "demo-small", "input": "Hello"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def get(path: str, provider: DemoProvider, query: bytes = b"", method: bytes = b"GET") -> Any:
    return await send(path, b"", query=query, provider=provider, method=method)


async def test_a_background_response_is_complete_after_its_first_delay() -> None:
    clock = Clock()
    provider = DemoProvider(clock=clock)
    asked = {**BODY, "input": "Hello [[demo first_delay=5]]", "background": True}
    made = (await send(PATH, asked, provider=provider)).json()
    assert (made["status"], made["background"], made["output"]) == ("queued", True, [])
    path = f"{PATH}/{made['id']}"
    assert (await get(path, provider)).json()["status"] == "in_progress"
    clock.now += 5
    done = (await get(path, provider)).json()
    assert (done["status"], done["id"]) == ("completed", made["id"])
    cancelled = await get(f"{path}/cancel", provider, method=b"POST")
    assert cancelled.json() == done


async def test_a_background_response_is_cancelled_while_it_is_in_progress_only() -> None:
    provider = DemoProvider(clock=Clock())
    asked = {**BODY, "input": "Hello [[demo first_delay=5]]", "background": True}
    made = (await send(PATH, asked, provider=provider)).json()
    path = f"{PATH}/{made['id']}"
    assert (await get(f"{path}/cancel", provider, method=b"POST")).json()["status"] == "cancelled"
    assert (await get(path, provider)).json()["status"] == "cancelled"
    whole = (await send(PATH, BODY, provider=provider)).json()
    refused = await get(f"{PATH}/{whole['id']}/cancel", provider, method=b"POST")
    assert refused.status == 400


async def test_a_background_stream_can_be_taken_up_after_any_event() -> None:
    provider = DemoProvider()
    stream = await send(PATH, {**BODY, "background": True, "stream": True}, provider=provider)
    events = stream.data()
    path = f"{PATH}/{events[0]['response']['id']}"
    again = await get(path, provider, b"stream=true&starting_after=2")
    lines = [line[6:] for line in again.body.split(b"\n") if line.startswith(b"data: ")]
    assert [json.loads(line) for line in lines] == events[3:]
    assert (await get(path, provider)).json() == events[-1]["response"]
    whole = (await send(PATH, BODY, provider=provider)).json()
    assert (await get(f"{PATH}/{whole['id']}", provider, b"stream=true")).status == 400


async def test_the_input_is_listed_by_pages() -> None:
    provider = DemoProvider()
    given = [{"role": "user", "content": str(number)} for number in range(3)]
    made = (await send(PATH, {**BODY, "input": given}, provider=provider)).json()
    path = f"{PATH}/{made['id']}/input_items"
    page = (await get(path, provider, b"limit=2")).json()
    assert [item["content"] for item in page["data"]] == ["2", "1"]
    assert page["has_more"] is True
    rest = (await get(path, provider, b"after=" + page["last_id"].encode())).json()
    assert ([item["content"] for item in rest["data"]], rest["has_more"]) == (["0"], False)
    first = (await get(path, provider, b"order=asc&limit=1")).json()
    assert first["data"][0]["content"] == "0"
