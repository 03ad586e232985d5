"""Keys agentgateway documents may hold that this version of Portico does not act on.

A key listed here is refused by name: it is neither a typing error nor silently without effect.
Source: agentgateway `schema/config.json`, v1.4 to v1.5 (August 2026); one entry goes away with each
feature that arrives.
"""

from typing import Final

from msgspec import Struct

from portico.config import schema, schema_process, schema_routing, schema_shaping

NOT_YET = "known from agentgateway, not supported by this version of Portico yet"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RULES: Final = _words(
    """a2a authorization backendTunnel basicAuth buffer cors csrf directResponse extAuthz extProc
    health jwtAuth jwtAuthentication localRateLimit mcpAuthentication mcpAuthorization oidc
    remoteRateLimit requestHeaderModifier requestHeaders requestMirror requestRedirect
    responseHeaderModifier responseHeaders retry sessionAffinity timeout transformation
    transformations urlRewrite"""
)
_BODY_RULES: Final = _words(
    """defaults finalTransformation finalTransformations guardrails overrides promptCaching
    promptGuard prompts transformation transformations"""
)
_TLS = _words("alpn cipherSuites insecureHost maxTLSVersion minTLSVersion mtlsMode subjectAltNames")
_KEYS: dict[type[Struct], frozenset[str]] = {
    schema.Document: _words(
        "backends gateways mcp policies routeGroups routes services ui workloads"
    ),
    schema.Llm: frozenset({"gateways"} | _RULES | _BODY_RULES),
    schema.ProviderEntry: frozenset({"auth"} | _RULES | _BODY_RULES),
    schema.ModelEntry: frozenset({"auth", "matches", "passthrough"} | _RULES | _BODY_RULES),
    schema.Params: frozenset({"tokenize"}),
    schema.LlmPolicies: frozenset(_RULES | _BODY_RULES),
    schema.LlmAi: _BODY_RULES | {"routes"},
    schema_shaping.ProviderDefaults: frozenset({"auth", "tls"} | _RULES | _BODY_RULES),
    schema_routing.Eviction: frozenset({"restoreHealth"}),
    schema_routing.Retry: _words("condition precondition"),
    schema_routing.VirtualModel: frozenset({"id"} | _RULES | _BODY_RULES),
    schema.ApiKeyPolicy: frozenset({"location"}),
    schema.CallerKeyEntry: _words("budget budgets expires rateLimit rateLimits"),
    schema.ListenerTls: _TLS | {"root"},
    schema.ClientTls: _TLS,
    schema.Bind: frozenset({"tunnelProtocol"}),
    schema.Listener: frozenset({"namespace", "policies", "tcpRoutes"}),
    schema.Route: frozenset({"namespace", "ruleName"}),
    schema.Match: frozenset({"headers", "method", "query"}),
    schema.PathMatch: frozenset({"regex"}),
    schema.RoutePolicies: _RULES,
    schema.BackendPolicies: frozenset({"ai", "http", "tcp"} | _RULES | _BODY_RULES),
    schema.BackendAuth: _words("azure copilot location passthrough"),
    schema.GcpAuth: _words("audience type"),
    schema.AiPolicy: _BODY_RULES,
    schema.Backend: _words("aws backend dynamic host mcp service"),
    schema.AiBackend: frozenset({"tokenize"}),
    schema.AiTarget: frozenset({"tokenize", "weight"}),
    schema.AiGroup: frozenset({"weight"}),
    schema.ProviderBody: _words("guardrailIdentifier guardrailVersion moderation tokenize"),
    schema_process.Process: _words(
        """backend caAddress caAuthToken clusterId connectionMinTerminationDeadline
        connectionTerminationDeadline dns enableIpv6 gateway hbone histograms http2
        localXdsPath mcp metrics modelCatalog namespace network readinessAddr serviceAccount
        session statsAddr storage tracing trustDomain workerThreads xdsAddress xdsAuthToken"""
    ),
    schema_process.Database: frozenset({"maxConnections"}),
    schema_process.Logging: frozenset({"database", "fields", "filter"}),
    schema_process.FrontendPolicies: _words(
        "accessLog connect metrics networkAuthorization proxy tcp tls tracing"
    ),
    schema_process.FrontendHttp: _words(
        """http1HeaderCase http1IdleTimeout http1MaxHeaders http2ConnectionWindowSize http2FrameSize
        http2KeepaliveInterval http2KeepaliveTimeout http2MaxHeaderSize http2WindowSize
        maxConnectionDuration"""
    ),
}

_KEYS = {block: keys.difference(block.__struct_encode_fields__) for block, keys in _KEYS.items()}
_HINTS: dict[tuple[type[Struct], str], str] = {
    (schema_process.Process, "statsAddr"): "metrics are served on config.adminAddr",
    (schema_process.Process, "readinessAddr"): "readiness is served on config.adminAddr",
    (schema_process.Process, "workerThreads"): "use config.workers",
    (schema_process.Process, "connectionTerminationDeadline"): "use config.deadlines.drain",
    (schema.ModelEntry, "auth"): "use params.apiKey",
    (schema.ProviderEntry, "auth"): "use params.apiKey",
    (schema_shaping.ProviderDefaults, "auth"): "use params.apiKey",
    (schema_shaping.ProviderDefaults, "tls"): "use tls of the provider",
    (schema_process.FrontendHttp, "http1MaxHeaders"): "use config.limits.headerCount",
    (schema_process.FrontendHttp, "http1IdleTimeout"): "use config.deadlines.keepAlive",
}
_SAME_AS: Final = {
    "requestHeaderModifier": "requestHeaders",
    "responseHeaderModifier": "responseHeaders",
    "requestHeaders": "requestHeaderModifier",
    "responseHeaders": "responseHeaderModifier",
}
"""Two names of one thing: agentgateway's two forms differ in them."""


def not_yet(block: type[Struct], key: str) -> str | None:
    """The message for a key of `block` that agentgateway knows and this version does not."""
    if key not in _KEYS.get(block, ()):
        return None
    hint = _hint(block, key)
    return f"{NOT_YET}; {hint}" if hint else NOT_YET


def _hint(block: type[Struct], key: str) -> str | None:
    other = _SAME_AS.get(key)
    if other in block.__struct_encode_fields__:
        return f"use {other}"
    if block is schema.ProviderEntry and key in schema_shaping.Rules.__struct_encode_fields__:
        return f"write {key} into defaults"
    return _HINTS.get((block, key))


def every_key() -> list[tuple[type[Struct], str]]:
    """All of the table, for the tests that hold each promise of it."""
    return [(block, key) for block, keys in _KEYS.items() for key in sorted(keys)]
