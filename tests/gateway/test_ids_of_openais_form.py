"""Items of a response whose id has OpenAI's form (48 hex digits) are found by their ids."""

import openai
from tests.support.gateway import Gateway, model, provider, route, settings
from tests.support.upstream import ScriptedUpstream, expect, http_json, send

ANSWER = {
    "id": "resp_" + "67ccd2be" * 6, "object": "response", "created_at": 1, "status": "completed",
    "model": "m", "output": [
        {"type": "message", "id": "msg_" + "ab" * 24, "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "hey", "annotations": []}]},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}  # fmt: skip


async def test_what_was_put_in_and_what_came_out_can_be_referred_to() -> None:
    upstream = await ScriptedUpstream.start(default=[expect(), send(http_json(200, ANSWER))])
    served = model("m", provider(upstream.url, formats=("responses",)))
    gateway = await Gateway.start(settings(route([served])))
    client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0)
    try:
        made = await client.responses.create(model="m", input="first")
        (asked,) = (await client.responses.input_items.list(made.id)).data
        for item, said in ((asked.id, b'"first"'), (made.output[0].id, b'"hey"')):
            await client.responses.create(
                model="m", store=False, input=[{"type": "item_reference", "id": item}]
            )
            assert said in upstream.requests[-1].body
    finally:
        await client.close()
        await gateway.stop()
        await upstream.stop()
