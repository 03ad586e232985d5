"""Everything that an answer of a provider can hold, as the official SDKs have it, is told to the
client in its own dialect, or is a declared loss, or is on a list with the reason.

Looked at are the members of an answer, and each kind of block, item and part in it; what is inside
of these is the business of the tests of each dialect."""

import json
import re

import pytest
from tests.unit.dialects.silence_answers import ANSWERS, ROOTS, VALUES, tell
from tests.unit.dialects.silence_kit import Pair, Walk

LOOKED_AT = {
    "responses": r"\.output\[1\]|\.\w+",
    "chat": r"\.\w+|\.choices\[0\]\.(message\.)?\w+",
    "messages": r"\.content\[1\]|\.\w+",
    "gemini": r"\.\w+|\.candidates\[0\]\.\w+|\.candidates\[0\]\.content\.parts\[1\]\.\w+",
    "converse": r"\.\w+|\.output\.message\.content\[1\]\.\w+",
}

NOT_TOLD: dict[str, dict[str, str]] = {
    "responses": {
        r"\.(id|created_at|completed_at|object)": "the gateway's answers have their own",
        r"\.(access_programs|background|conversation|image|instructions|max_output_tokens|metadata|"
        r"max_tool_calls|parallel_tool_calls|previous_response_id|prompt|prompt_cache_\w+|reasoning|"
        r"safety_identifier|store|temperature|text|tool_choice|tools|top_logprobs|top_p|truncation|"
        r"user|model)": "repeats the request",
        r"\.(moderation|input_transformations|tool_usage|status)": "what the provider did about it",
        r"\.service_tier": "clients that asked for none, or cannot be told",
    },
    "chat": {
        r"\.(id|created|object|model)": "the gateway's answers have their own",
        r"\.(system_fingerprint|moderation|metadata)": "what the provider did about it",
        r"\.service_tier": "clients that cannot be told",
        r"\.choices\[0\]\.(index|logprobs)": "empty, or of a choice that is the only one",
    },
    "messages": {
        r"\.(id|model|type|role)": "the gateway's answers have their own",
        r"\.(container|diagnostics)": "what the provider did about it",
        r"\.stop_(reason|details|sequence)": "said by a reason that others share",
    },
    "gemini": {
        r"\.(createTime|modelVersion|responseId|parsed|automaticFunctionCallingHistory|"
        r"sdkHttpResponse|modelStatus)": "the gateway's answers have their own, or none",
        r"\.(promptFeedback|usageMetadata)": "empty",
        r"\.candidates": "empty",
        r"\.candidates\[0\]\.continuationToken": "what would continue it is not kept",
        r"\.candidates\[0\]\.(avgLogprobs|tokenCount|index|safetyRatings|finishMessage|\w+Metadata|"
        r"logprobsResult)": "what the provider thinks of it, or empty",
        r"\.candidates\[0\]\.content\.parts\[1\]\.(mediaResolution|videoMetadata|documentMetadata|"
        r"spreadsheetMetadata|audioMetadata|mediaProcessing|partMetadata|thought|audioTranscription|"
        r"speechMetadata)":
            "says something of a part that is not there",
        r"\.candidates\[0\]\.content\.parts\[1\]\.(functionResponse|toolResponse)":
            "an answer to nothing",
    },
    "converse": {
        r"\.(metrics|trace|performanceConfig|additionalModelResponseFields)":
            "what the provider did about it",
        r"\.output\.message\.content\[1\]\.(cachePoint|guardContent|toolAddition|toolRemoval)":
            "of requests only",
        r"\.output\.message\.content\[1\]\.toolResult": "an answer to nothing",
    },
}  # fmt: skip
"""Provider's dialect -> path -> why no client is told."""


def pairs(provider: str) -> list[Pair]:
    walk = Walk(VALUES[provider])
    found = walk.pairs(ROOTS[provider](), "", "", ())
    return [pair for pair in found if re.fullmatch(LOOKED_AT[provider], pair.path)]


@pytest.mark.parametrize("provider", sorted(ROOTS))
def test_every_kind_of_thing_in_an_answer_is_told_or_declared(provider: str) -> None:
    looked_at = pairs(provider)
    assert len(looked_at) > 10
    silent, told, needed = set(), 0, set()
    for pair in looked_at:
        given, other = (
            json.dumps({**ANSWERS[provider], **side}).encode() for side in (pair.given, pair.other)
        )
        for client in ("responses", "chat", "messages"):
            one, two = tell(provider, client, given), tell(provider, client, other)
            if one != two:
                told += 1
                continue
            row = next((row for row in NOT_TOLD[provider] if re.fullmatch(row, pair.path)), None)
            needed.add(row)
            if row is None:
                silent.add((pair.path, json.dumps(pair.given)[-160:], client))
    assert not silent
    assert told
    assert set(NOT_TOLD[provider]) - needed == set()
