"""Keys agentgateway documents may hold that this version of Portico does not act on.

A key listed here is refused by name: it is neither a typing error nor silently without effect.
Source: agentgateway `schema/config.json`, v1.4 to v1.5 (August 2026); one entry goes away with each
feature that arrives.
"""

from msgspec import Struct

from portico.config import schema

NOT_YET = "known from agentgateway, not supported by this version of Portico yet"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RULES = _words(
    """a2a authorization backendTunnel basicAuth buffer cors csrf directResponse extAuthz extProc
    health jwtAuth jwtAuthentication localRateLimit mcpAuthentication mcpAuthorization oidc
    remoteRateLimit requestHeaderModifier requestHeaders requestMirror requestRedirect
    responseHeaderModifier responseHeaders retry sessionAffinity timeout transformation
    transformations urlRewrite"""
)
_BODY_RULES = _words(
    """defaults finalTransformation finalTransformations guardrails overrides promptCaching
    promptGuard prompts transformation transformations"""
)
_TLS = _words("alpn cipherSuites insecureHost maxTLSVersion minTLSVersion mtlsMode subjectAltNames")
_KEYS: dict[type[Struct], frozenset[str]] = {
    schema.Document: _words(
        "backends gateways mcp policies routeGroups routes services ui workloads"
    ),
    schema.Llm: frozenset({"virtualModels", "gateways"} | _RULES | _BODY_RULES),
    schema.ProviderEntry: frozenset({"auth"} | _RULES | _BODY_RULES),
    schema.ModelEntry: frozenset({"auth", "matches", "passthrough"} | _RULES | _BODY_RULES),
    schema.Params: frozenset({"tokenize"}),
    schema.LlmPolicies: frozenset({"ai"} | _RULES | _BODY_RULES),
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
    schema.Backend: _words("aws backend dynamic host mcp service weight"),
    schema.AiBackend: frozenset({"tokenize"}),
    schema.AiTarget: frozenset({"tokenize", "weight"}),
    schema.AiGroup: frozenset({"weight"}),
    schema.ProviderBody: _words("guardrailIdentifier guardrailVersion moderation tokenize"),
    schema.Process: _words(
        """backend caAddress caAuthToken clusterId connectionMinTerminationDeadline
        connectionTerminationDeadline dns enableIpv6 gateway hbone histograms http2
        localXdsPath mcp metrics modelCatalog namespace network readinessAddr serviceAccount
        session statsAddr storage tracing trustDomain workerThreads xdsAddress xdsAuthToken"""
    ),
    schema.Database: frozenset({"maxConnections"}),
    schema.Logging: frozenset({"database", "fields", "filter"}),
    schema.FrontendPolicies: _words(
        "accessLog connect metrics networkAuthorization proxy tcp tls tracing"
    ),
    schema.FrontendHttp: _words(
        """http1HeaderCase http1IdleTimeout http1MaxHeaders http2ConnectionWindowSize http2FrameSize
        http2KeepaliveInterval http2KeepaliveTimeout http2MaxHeaderSize http2WindowSize
        maxConnectionDuration"""
    ),
}

_HINTS: dict[tuple[type[Struct], str], str] = {
    (schema.Process, "statsAddr"): "metrics are served on config.adminAddr",
    (schema.Process, "readinessAddr"): "readiness is served on config.adminAddr",
    (schema.Process, "workerThreads"): "use config.workers",
    (schema.Process, "connectionTerminationDeadline"): "use config.deadlines.drain",
    (schema.ModelEntry, "auth"): "use params.apiKey",
    (schema.ProviderEntry, "auth"): "use params.apiKey",
    (schema.FrontendHttp, "http1MaxHeaders"): "use config.limits.headerCount",
    (schema.FrontendHttp, "http1IdleTimeout"): "use config.deadlines.keepAlive",
}


def not_yet(block: type[Struct], key: str) -> str | None:
    """The message for a key of `block` that agentgateway knows and this version does not."""
    if key not in _KEYS.get(block, ()):
        return None
    hint = _HINTS.get((block, key))
    return f"{NOT_YET}; {hint}" if hint else NOT_YET


def every_key() -> list[tuple[type[Struct], str]]:
    """All of the table, for the tests that hold each promise of it."""
    return [(block, key) for block, keys in _KEYS.items() for key in sorted(keys)]
