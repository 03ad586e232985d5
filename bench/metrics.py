"""What the gateway says it counted, read from its `/metrics`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Counted:
    """Totals since the gateway started.

    Every request is `ok` (2xx), `left` (499: the client was gone before a status) or `failed`.
    `cut` are streams that began well and did not end; `unlogged` are lost lines of the access log.
    """

    ok: int
    left: int
    failed: int
    cut: int
    unlogged: int
    input_tokens: int
    output_tokens: int
    in_flight: int

    def since(self, before: "Counted") -> "Counted":
        """What was counted after `before`; `in_flight` is as it is now."""
        return Counted(
            self.ok - before.ok,
            self.left - before.left,
            self.failed - before.failed,
            self.cut - before.cut,
            self.unlogged - before.unlogged,
            self.input_tokens - before.input_tokens,
            self.output_tokens - before.output_tokens,
            self.in_flight,
        )


def total(text: str, name: str, **labels: str) -> float:
    """The sum of the samples called `name` that have all of `labels`."""
    value = 0.0
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found is not None and found[1] == name:
            present: Mapping[str, str] = dict(_LABEL.findall(found[2] or ""))
            if all(present.get(key) == wanted for key, wanted in labels.items()):
                value += float(found[3])
    return value


def counted(text: str, dialect: str = "chat") -> Counted:
    """Requests in one client dialect, and all tokens."""
    requests, tokens = "portico_requests_total", "portico_gen_ai_client_token_usage_sum"
    everything = total(text, requests, dialect=dialect)
    ok = total(text, requests, dialect=dialect, status="2xx")
    left = total(text, requests, dialect=dialect, status="499")
    cut = total(text, "portico_stream_truncated_total")
    return Counted(
        int(ok),
        int(left),
        int(everything - ok - left),
        int(cut + total(text, "portico_client_cancelled_total") - left),
        int(total(text, "portico_log_dropped_total")),
        int(total(text, tokens, gen_ai_token_type="input")),
        int(total(text, tokens, gen_ai_token_type="output")),
        int(total(text, "portico_in_flight")),
    )
