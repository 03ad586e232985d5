"""Settings of a model and the row of its provider -> the `Target`s of its requests, one for each
credential, and the `Backend` that holds them."""

import hashlib
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from urllib.parse import quote, urlsplit

from msgspec import structs

from portico import __version__
from portico.config.errors import ConfigError, Problem
from portico.config.settings import (
    AwsKeys,
    HealthSettings,
    ModelSettings,
    ProviderSettings,
    RetrySettings,
)
from portico.errors import PorticoError
from portico.gateway.shaping import Shaper
from portico.gateway.target import Authorize, Target, Template, Way, Ways
from portico.gateway.token_fetch import TokenFetch
from portico.http.client import HttpClient, Origin, Pool, TlsOptions
from portico.limits import Deadlines
from portico.providers.base import DIALECT_NAMES, Api, Auth, Provider, credential_header
from portico.providers.clouds import variant
from portico.providers.credentials import AwsAuthorize
from portico.providers.prices import price_of
from portico.providers.signing import aws
from portico.providers.signing.google import GoogleCredential
from portico.providers.signing.sigv4 import Keys
from portico.providers.table import CUSTOM, custom_formats, provider
from portico.routing.budget import RetryBudget
from portico.routing.health import Board
from portico.routing.plan import Backend, Credential
from portico.wire.header_rules import RequestRules, ResponseRules


class Targets:
    """Makes targets. Those that use the same changing credential share it. `env` is where
    credentials are looked for that the document does not have. What is known of their health stays
    on `board`."""

    def __init__(
        self, client: HttpClient, env: Mapping[str, str], deadlines: Deadlines, board: Board
    ) -> None:
        self._client = client
        self._env = env
        self._deadlines = deadlines
        self._board = board
        self._fetch = TokenFetch(client)
        self._credentials: dict[tuple[object, ...], Authorize] = {}
        self.healths: dict[str, HealthSettings] = {}
        """Of every backend that was made: its key on the board, and how it is judged."""
        self.cooldowns: set[str] = set()
        self.budgets: set[str] = set()

    def budget(self, key: str, rules: RetrySettings) -> RetryBudget:
        """The retry budget of an entry. A reload that leaves its rules alone does not fill it."""
        key = f"{key} {rules.budget} {rules.budget_per_second}"
        self.budgets.add(key)
        return self._board.budgets.setdefault(
            key, RetryBudget(rules.budget, rules.budget_per_second, monotonic())
        )

    def backend(self, model: ModelSettings, route: str) -> Backend:
        """One model with all its credentials; `route` tells models of one name apart. Raises
        `ConfigError`."""
        chosen = model.provider
        first = self.make(model)
        key = "/".join((route, model.name, first.place, model.model or ""))
        targets = [first]
        for more in chosen.further_keys:
            other = structs.replace(chosen, api_key=more)
            targets.append(self.make(structs.replace(model, provider=other)))
        credentials = []
        for target in targets:
            name = f"{key}/{target.origin}"
            self.cooldowns.add(name)
            homes = (target.origin, target.place)
            credentials.append(Credential(target, homes, self._board.cooldown(name)))
        self.healths[key] = model.health
        health = self._board.health(key, model.health)
        return Backend(
            model.name, key, chosen.name, credentials, health, _price(model, first.upstream_model)
        )

    def make(self, model: ModelSettings) -> Target:
        """The target of one model entry and one credential. Raises `ConfigError`."""
        chosen, shaping = model.provider, model.shaping
        asks = shaping.request_headers if shaping is not None else None
        answers = shaping.response_headers if shaping is not None else None
        row = row_of(chosen)
        base = base_url_of(row, chosen)
        parts = urlsplit(base)
        if parts.hostname is None:
            raise _error(chosen.name, "its base URL names no host")
        pool = self._pool(chosen)
        key = chosen.api_key.reveal() if chosen.api_key is not None else None
        prefix = parts.path.rstrip("/")
        rules = RequestRules(asks) if asks is not None else None
        speaker = _Speaker(row, chosen, pool.origin, key, prefix, rules)
        defaults = tuple(
            (name.encode("ascii"), f"{name}: {value}\r\n".encode("ascii"))
            for name, value in row.headers
        )
        return Target(
            chosen.name,
            row.semconv or chosen.name,
            pool,
            speaker.ways(row.formats),
            defaults,
            speaker.models_head(b"".join(line for _, line in defaults)),
            model.model,
            model.strip_prefix,
            key.encode("latin-1") if key else b"",
            kind=chosen.kind,
            origin=origin_of(chosen, pool.origin, prefix),
            place=origin_of(chosen, pool.origin, prefix, account=False),
            preferred=row.preferred,
            families=tuple((each, speaker.ways(each.formats)) for each in row.families),
            id_prefix=row.id_prefix,
            on_loss=model.on_loss,
            fetch_remote_content=model.fetch_remote_content,
            state=model.state,
            context_window=model.context_window,
            quirks=row.quirks,
            authorize=self._authorize(row, chosen) if key is None else None,
            timeouts=model.timeout,
            deadlines=self._deadlines,
            shaper=Shaper(shaping) if shaping is not None else None,
            request_rules=rules,
            response_rules=ResponseRules(answers) if answers is not None else None,
        )

    def _authorize(self, row: Provider, chosen: ProviderSettings) -> Authorize | None:
        if not row.signer:
            return None
        place = (row.signer, chosen.region if row.signer == "aws" else None, chosen.aws)
        found = self._credentials.get(place)
        if found is None:
            make = {"aws": self._aws, "google": self._google}[row.signer]
            try:
                found = self._credentials[place] = make(chosen)
            except PorticoError as error:
                reason = error.debug or error.message
                raise _error(chosen.name, f"no usable credential: {reason}") from error
        return found

    def _aws(self, chosen: ProviderSettings) -> Authorize:
        env, region = self._env, chosen.region or ""
        credential = aws.find(
            env,
            self._fetch,
            region=region,
            explicit=_written_keys(chosen.aws),
            instance=env.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true",
        )
        return AwsAuthorize(credential, region)

    def _google(self, chosen: ProviderSettings) -> Authorize:
        return GoogleCredential(self._fetch, where=f"provider {chosen.name!r}")

    def _pool(self, chosen: ProviderSettings) -> Pool:
        parts = urlsplit(base_url_of(row_of(chosen), chosen))
        tls = chosen.tls
        origin = Origin(
            parts.scheme,
            parts.hostname or "",
            parts.port or (443 if parts.scheme == "https" else 80),
            TlsOptions(tls.root, tls.cert, tls.key, tls.hostname, tls.insecure)
            if tls is not None
            else TlsOptions(),
        )
        try:
            return self._client.pool(origin)
        except ValueError as error:
            raise _error(chosen.name, str(error)) from error


def _written_keys(written: AwsKeys | None) -> Keys | None:
    if written is None:
        return None
    token = written.session_token.reveal() if written.session_token is not None else ""
    return Keys(written.access_key_id, written.secret_access_key.reveal(), token)


def row_of(chosen: ProviderSettings) -> Provider:
    """The facts about the provider of these settings."""
    if chosen.formats is not None:
        return structs.replace(CUSTOM, formats=custom_formats(chosen.formats), models="")
    return variant(provider(chosen.kind), chosen.project, chosen.api_version)


def base_url_of(row: Provider, chosen: ProviderSettings) -> str:
    """The base URL, in the provider's SDK's meaning; empty if there is none."""
    if chosen.base_url is not None:
        return chosen.base_url
    region = chosen.region or ""
    return row.hosts.get(region) or row.base_url.replace("{region}", region)


def origin_of(
    chosen: ProviderSettings, origin: Origin, prefix: str, *, account: bool = True
) -> str:
    """A stable name for provider, place and (unless `account` is False) account: the kind and 12
    hex digits.

    The digits are of a hash over a hash of the key: nothing of a key can be had from them. Where
    the surroundings make the credential, place and project stand for the account.
    """
    secret = None
    if account:
        secret = chosen.api_key or (
            chosen.aws.secret_access_key if chosen.aws is not None else None
        )
    key = hashlib.sha256(secret.reveal().encode()).hexdigest() if secret is not None else ""
    place = (
        chosen.kind,
        origin.authority.decode("ascii"),
        prefix,
        chosen.region or "",
        chosen.project or "",
        key,
    )
    return f"{chosen.kind}:{hashlib.sha256(repr(place).encode()).hexdigest()[:12]}"


def _price(model: ModelSettings, upstream_model: Callable[[str], str]) -> Callable[[str], float]:
    """What the model costs: as the operator says, else as is known of it."""
    cost, kind = model.cost, model.provider.kind

    def price(asked: str) -> float:
        known = (cost.input, cost.output) if cost is not None else None
        known = known or price_of(kind, upstream_model(asked))
        return inf if known is None else (3 * known[0] + known[1]) / 4

    return price


class _Speaker:
    """Makes the ways of one provider: its place, its credential and the paths below it."""

    def __init__(
        self,
        row: Provider,
        chosen: ProviderSettings,
        origin: Origin,
        key: str | None,
        prefix: str,
        rules: RequestRules | None,
    ) -> None:
        self._row = row
        self._rules = rules
        self._authority = origin.authority
        self._key = key
        self._prefix = prefix
        self._places: Mapping[str, str] = {
            "{project}": quote(chosen.project or "", safe=":"),
            "{region}": quote(chosen.region or "", safe=""),
            "{version}": quote(chosen.api_version or "", safe=""),
        }
        self._public = chosen.base_url is None or chosen.base_url == row.base_url

    def ways(self, formats: Mapping[str, Api]) -> Ways:
        """The ways of these formats, by dialect name."""
        return {
            DIALECT_NAMES[word]: self._way(api)
            for word, api in formats.items()
            if self._public or not api.from_root
        }

    def models_head(self, defaults: bytes) -> bytes:
        """The whole head of a request for the list of models; empty if there is no list."""
        row = self._row
        if not row.models:
            return b""
        path = (self._prefix + row.models).encode("ascii")
        common = self._common(row.models_auth or row.auth)
        return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (path, common, defaults)

    def _way(self, api: Api) -> Way:
        prefix = "" if api.from_root else self._prefix
        path = self._template(prefix, api.path)
        return Way(
            path,
            self._template(prefix, api.stream) if api.stream else path,
            self._template(prefix, api.count) if api.count else None,
            self._common(api.auth or self._row.auth),
            api.extras,
            api.drops_model,
            api.keeps,
        )

    def _template(self, prefix: str, path: str) -> Template:
        for hole, value in self._places.items():
            path = path.replace(hole, value)
        return Template(prefix + path)

    def _common(self, auth: Auth) -> bytes:
        common = b"".join(
            (
                b"host: ",
                self._authority,
                b"\r\naccept-encoding: identity\r\ncontent-type: application/json\r\n",
                f"user-agent: portico/{__version__}\r\n".encode("ascii"),
                credential_header(auth, self._key, jwt_bearer=self._row.jwt_bearer),
            )
        )
        return common if self._rules is None else self._rules.dress(common)


def _error(provider_name: str, message: str) -> ConfigError:
    return ConfigError([Problem(path=f"provider {provider_name!r}", message=message)])
