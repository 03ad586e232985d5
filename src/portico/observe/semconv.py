"""Every telemetry name, attribute and bucket list, each with its source.

The GenAI names are those of the OpenTelemetry semantic conventions 1.41 (all still *Development*;
dots become underscores and the unit a suffix in Prometheus, as the OTLP-to-Prometheus rules say:
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/). The `portico_`
families are ours. `FAMILIES` is the whole of `/metrics`; a test holds the documentation to it.
"""

from typing import Final, Literal

from msgspec import Struct

GENAI_METRICS: Final = "https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-metrics.md"
PROCESS_METRICS: Final = (
    "https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics"
)
OURS: Final = "docs/observability.md"

# --- GenAI metric names (GENAI_METRICS) -----------------------------------------------------------
USAGE: Final = "gen_ai_client_token_usage"
OPERATION_DURATION: Final = "gen_ai_client_operation_duration_seconds"
TIME_TO_FIRST_CHUNK: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"
SERVER_TTFT: Final = "gen_ai_server_time_to_first_token_seconds"

# --- GenAI attributes, as Prometheus labels (GENAI_METRICS) ---------------------------------------
OPERATION_NAME: Final = "gen_ai_operation_name"
PROVIDER_NAME: Final = "gen_ai_provider_name"
REQUEST_MODEL: Final = "gen_ai_request_model"
RESPONSE_MODEL: Final = "gen_ai_response_model"
USAGE_KIND: Final = "gen_ai_token_type"
ERROR_TYPE: Final = "error_type"

ERROR_OTHER: Final = "_OTHER"
"""`error.type` when nothing bounded is known.
https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/registry/attributes/error.md"""

MIRROR: Final = " (mirror)"
"""How the endpoint of a mirrored request ends."""

MODEL_OTHER: Final = "other"
"""Stands for every model name, reason or limit beyond the bound on distinct values."""

# --- buckets (GENAI_METRICS, "ExplicitBucketBoundaries") ------------------------------------------
TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
"""1, 4, 16 ... 67108864."""

DURATION_BUCKETS: Final = tuple(2**power / 100 for power in range(14))
"""0.01, 0.02, 0.04 ... 81.92 seconds."""

FIRST_TOKEN_BUCKETS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip

# --- buckets of our own families (OURS) -----------------------------------------------------------
REQUEST_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
"""From a refusal (1 ms) to a long reasoning answer (10 min)."""

OVERHEAD_BUCKETS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
)  # fmt: skip
"""Microseconds matter here: the target is under 0.1 ms."""

TTFT_BUCKETS: Final = (*FIRST_TOKEN_BUCKETS, 20.0, 40.0, 80.0, 160.0)
"""The conventions' list, drawn out for reasoning models. One cell feeds both families, so
`FIRST_TOKEN_BUCKETS` has to stay a subset."""

LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Event-loop lag: how late the sweep, due every 100 ms, began."""

Kind = Literal["counter", "gauge", "histogram", "info"]


class Family(Struct, frozen=True):
    """One exposed metric. `name` is as scraped; `labels` may be absent from a sample when empty."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    source: str = OURS


_GENAI = (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL)

# --- derived from the outcome of each request -----------------------------------------------------
REQUESTS = Family(
    "portico_requests_total", "counter", "Finished requests.",
    ("endpoint", "dialect", "provider", "model", "status", "lane"),
)  # fmt: skip
REQUEST_DURATION = Family(
    "portico_request_duration_seconds", "histogram",
    "From the end of the request head to the last byte of the answer.",
    ("endpoint", "provider", "model", "status"), REQUEST_BUCKETS,
)  # fmt: skip
OVERHEAD = Family(
    "portico_overhead_seconds", "histogram", "Time the gateway itself added to a request.",
    ("endpoint", "lane"), OVERHEAD_BUCKETS,
)  # fmt: skip
TTFT = Family(
    "portico_ttft_seconds", "histogram",
    "Streams only: from the request to the first byte of the answer sent to the client.",
    ("endpoint", "provider", "model"), TTFT_BUCKETS,
)  # fmt: skip
TOKENS = Family(
    "portico_tokens_total", "counter",
    "Tokens in disjoint buckets; estimated is true where the provider reported none.",
    ("provider", "model", "type", "estimated"),
)  # fmt: skip
ATTEMPTS = Family(
    "portico_attempts_total", "counter", "Upstream attempts by how they ended.", ("outcome",)
)
UPSTREAM_ATTEMPTS = Family(
    "portico_upstream_attempts_total", "counter", "Upstream attempts by provider and result.",
    ("provider", "model", "result"),
)  # fmt: skip
MIRRORED = Family(
    "portico_mirrored_total", "counter", "Copies of requests sent to a mirror, by how they ended.",
    ("result",),
)  # fmt: skip
CLIENT_CANCELLED = Family(
    "portico_client_cancelled_total", "counter", "Requests whose client left before the end.",
    ("endpoint", "provider", "model"),
)  # fmt: skip
STREAM_TRUNCATED = Family(
    "portico_stream_truncated_total", "counter", "Upstream answers that were cut off.",
    ("endpoint", "provider", "model"),
)  # fmt: skip
GENAI_TOKEN_USAGE = Family(
    USAGE, "histogram", "Number of input and output tokens used.",
    (*_GENAI, USAGE_KIND), TOKEN_BUCKETS, GENAI_METRICS,
)  # fmt: skip
PORTICO_TOKEN_USAGE = Family(
    f"portico_{USAGE}", "histogram", f"The same numbers as {USAGE}.",
    (*_GENAI, USAGE_KIND), TOKEN_BUCKETS, GENAI_METRICS,
)  # fmt: skip
GENAI_DURATION = Family(
    OPERATION_DURATION, "histogram", "GenAI operation duration, seen from the gateway.",
    (*_GENAI, ERROR_TYPE), DURATION_BUCKETS, GENAI_METRICS,
)  # fmt: skip
GENAI_FIRST_CHUNK = Family(
    TIME_TO_FIRST_CHUNK, "histogram",
    "Streams only: from sending the request to the provider's first byte.",
    _GENAI, DURATION_BUCKETS, GENAI_METRICS,
)  # fmt: skip
GENAI_FIRST_TOKEN = Family(
    SERVER_TTFT, "histogram",
    "Streams only: time to the first token as the gateway's clients see it.",
    _GENAI, FIRST_TOKEN_BUCKETS, GENAI_METRICS,
)  # fmt: skip

# --- targets: a model at a provider ---------------------------------------------------------------
_TARGET = ("target", "provider", "upstream_model")

TARGET_STATE = Family(
    "portico_target_state", "gauge", "Workers whose breaker for the target is in this state.",
    (*_TARGET, "state"),
)  # fmt: skip
TARGET_IN_FLIGHT = Family(
    "portico_target_in_flight", "gauge", "Attempts in progress at the target.", _TARGET
)
TARGET_LATENCY = Family(
    "portico_target_latency_seconds", "gauge",
    "Moving average of the time to the first byte; mean of the workers that have one.", _TARGET,
)  # fmt: skip
TARGET_OPENED = Family(
    "portico_target_opened_total", "counter", "Times the target's breaker opened.", _TARGET
)
CREDENTIAL_COOLDOWNS = Family(
    "portico_credential_cooldowns_total", "counter",
    "Times a credential was put off, by its number in the configuration.",
    (*_TARGET, "credential"),
)  # fmt: skip
RETRY_REFUSED = Family(
    "portico_retry_budget_refused_total", "counter",
    "Attempts not made because the retry budget was used up.", ("model",),
)  # fmt: skip

# --- plain counters and gauges of a worker --------------------------------------------------------
STARTED = Family("portico_requests_started_total", "counter", "Requests whose head was accepted.")
IN_FLIGHT = Family("portico_in_flight", "gauge", "Requests started and not finished.")
CONNECTIONS = Family("portico_connections_open", "gauge", "Open client connections.")
CONNECTIONS_TOTAL = Family("portico_connections_total", "counter", "Accepted client connections.")
LIMIT_HITS = Family(
    "portico_limit_hits_total", "counter", "Times a configured limit was hit.", ("limit",)
)
LOSSES = Family(
    "portico_translation_losses_total", "counter",
    "Things a translated request or answer could not carry, by what was done about them.",
    ("how",),
)  # fmt: skip
HTTP_REJECTED = Family(
    "portico_http_rejected_total", "counter", "Requests refused by the HTTP layer.", ("reason",)
)
LOG_DROPPED = Family(
    "portico_log_dropped_total", "counter", "Log lines lost to a slow or closed sink.", ("log",)
)
LOOP_LAG = Family(
    "portico_event_loop_lag_seconds", "histogram", "How late a timer of the event loop fired.",
    (), LAG_BUCKETS,
)  # fmt: skip
RELOADS = Family(
    "portico_config_reload_total",
    "counter",
    "Configuration loads, the first included.",
    ("result",),
)
RELOAD_OK = Family(
    "portico_config_last_reload_successful",
    "gauge",
    "1 if the last load took; least of all workers.",
)
REVISION = Family(
    "portico_config_revision", "gauge", "Revision every worker has reached (the lowest)."
)
RELOAD_TIME = Family(
    "portico_config_last_reload_timestamp_seconds", "gauge",
    "Unix time of the last successful load; oldest of all workers.",
)  # fmt: skip
WORKERS = Family("portico_workers", "gauge", "Workers whose counts are in this scrape.")
BUILD_INFO = Family("portico_build_info", "info", "What is running.", ("version", "python"))
CPU = Family(
    "process_cpu_seconds_total", "counter", "CPU time, sum of the workers.", source=PROCESS_METRICS
)
RSS = Family(
    "process_resident_memory_bytes", "gauge",
    "Resident memory, sum of the workers (shared pages count once per worker).",
    source=PROCESS_METRICS,
)  # fmt: skip
TASKS = Family("portico_asyncio_tasks", "gauge", "Tasks of the event loops, sum of the workers.")
UPSTREAM_OPEN = Family(
    "portico_upstream_connections_open", "gauge", "Connections to providers, those kept included."
)
UPSTREAM_BUSY = Family(
    "portico_upstream_connections_busy", "gauge", "Connections to providers that are not idle."
)
FDS = Family(
    "process_open_fds", "gauge", "Open file descriptors, sum of the workers.",
    source=PROCESS_METRICS,
)  # fmt: skip

FAMILIES: Final[tuple[Family, ...]] = (
    REQUESTS, REQUEST_DURATION, OVERHEAD, TTFT, TOKENS, ATTEMPTS, UPSTREAM_ATTEMPTS, MIRRORED,
    CLIENT_CANCELLED, STREAM_TRUNCATED, GENAI_TOKEN_USAGE, PORTICO_TOKEN_USAGE, GENAI_DURATION,
    GENAI_FIRST_CHUNK, GENAI_FIRST_TOKEN, TARGET_STATE, TARGET_IN_FLIGHT, TARGET_LATENCY,
    TARGET_OPENED, CREDENTIAL_COOLDOWNS, RETRY_REFUSED,
    STARTED, IN_FLIGHT, CONNECTIONS, CONNECTIONS_TOTAL, LIMIT_HITS,
    LOSSES, HTTP_REJECTED, LOG_DROPPED, LOOP_LAG, RELOADS, RELOAD_OK, REVISION, RELOAD_TIME,
    WORKERS, BUILD_INFO, CPU, RSS, FDS, TASKS,
    UPSTREAM_OPEN, UPSTREAM_BUSY,
)  # fmt: skip
"""Everything `/metrics` may show."""
