"""Every limit and deadline of the data plane, by name, with its default.

Sizes are bytes, times are seconds, rates are bytes per second. The config keys are the camelCase
forms of these names under `config.limits` and `config.deadlines`. A limit that is hit raises a
typed error (`portico.errors`) and counts in `portico_limit_hits_total{limit=...}`.
"""

from msgspec import Struct

KIB = 1024
MIB = 1024 * KIB
UPSTREAM_CONNECTIONS = "upstreamConnections"
"""The name of that limit, for who has to tell it from others."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Bounds on what one peer may make us hold."""

    request_line: int = 8 * KIB
    header_bytes: int = 32 * KIB
    header_count: int = 100
    body_bytes: int = 32 * MIB
    body_min_rate: int = 1 * KIB
    buffered_body_bytes: int = 1024 * MIB
    chunk_overhead_bytes: int = 64 * KIB
    gzip_ratio: int = 20
    json_depth: int = 128
    json_items: int = 10_000
    json_values: int = 200_000
    json_key_bytes: int = 1 * KIB
    connections: int = 4096
    pipelined_requests: int = 32
    websocket_queued_messages: int = 32
    in_flight_per_key: int = 64
    relay_buffer: int = 64 * KIB
    response_head_bytes: int = 64 * KIB
    response_bytes: int = 64 * MIB
    chain_bytes: int = 64 * MIB
    background_runs: int = 1000
    mirrored_requests: int = 64
    response_hold_bytes: int = 1 * MIB
    error_body_bytes: int = 64 * KIB
    sse_frame_bytes: int = 4 * MIB
    remote_content_bytes: int = 20 * MIB
    upstream_connections: int = 4096
    upstream_idle_connections: int = 256
    recent_requests: int = 200


class Deadlines(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How long each phase of a request may take. Checked ten times a second."""

    header: float = 10.0
    body: float = 60.0
    body_rate_grace: float = 5.0
    keep_alive: float = 75.0
    write: float = 60.0
    connect: float = 5.0
    first_byte: float = 300.0
    idle: float = 120.0
    total: float = 3600.0
    remote_content: float = 10.0
    upstream_keep_alive: float = 30.0
    sse_keep_alive: float = 15.0
    websocket: float = 3600.0
    websocket_ping: float = 30.0
    drain_delay: float = 5.0
    drain: float = 120.0
    drain_forced: float = 5.0
