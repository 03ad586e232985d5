"""`/api/...`: targets and recent requests, put together from what every worker says.

A worker that does not answer in time holds nobody up: its number is in `silent_workers`, so that a
page which may lack something says so.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from portico.admin.answers import answer, refusal
from portico.admin.port import AdminPort, Told
from portico.model.targets import TargetView
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow

PAGES = ("/api/targets", "/api/requests")
MOST = 1000
"""Requests on one page."""

_SUMS = ("in_flight", "calls", "failures", "successes_total", "failures_total", "opened_total")
_BADNESS = {"closed": 0, "half_open": 1, "open": 2}
_STATUS = re.compile(r"[1-5](xx|[0-9]{2})", re.ASCII)


def api_routes(port: AdminPort) -> list[Route]:
    """The routes, all of them reads."""

    async def targets(_: Request) -> Response:
        return answer(merged_targets(await port.targets()))

    async def requests(request: Request) -> Response:
        try:
            query = query_of(request.query_params)
        except ValueError as error:
            return refusal(400, str(error))
        return answer(merged_requests(await port.requests(query), query.limit))

    async def one_request(request: Request) -> Response:
        return _one(await port.request(request.path_params["id"]))

    return [
        Route("/api/targets", targets),
        Route("/api/requests", requests),
        Route("/api/requests/{id}", one_request),
    ]


def query_of(given: Mapping[str, str]) -> RequestQuery:
    """The query of a URL. Raises `ValueError` with what is wrong, for a misspelt filter that is
    passed over would show the wrong requests."""
    unknown = sorted(given.keys() - set(RequestQuery.__struct_fields__))
    if unknown:
        known = ", ".join(RequestQuery.__struct_fields__)
        raise ValueError(f"unknown parameter {unknown[0][:80]!r}; there are: {known}")
    limit = given.get("limit", "100")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MOST):
        raise ValueError(f"limit must be a number from 1 to {MOST}")
    status = given.get("status", "")
    if status and not _STATUS.fullmatch(status):
        raise ValueError("status must be a code such as 429, or a class such as 5xx")
    rest = {name: given.get(name, "") for name in ("provider", "model", "verdict")}
    return RequestQuery(limit=int(limit), status=status, **rest)


def merged_targets(told: Told[list[TargetView]]) -> dict[str, object]:
    """Every target once: sums over the workers, the worst of their states, and each one's own."""
    found: dict[tuple[str, str, str], list[tuple[int, TargetView]]] = {}
    for number, views in told.by_worker.items():
        for view in views:
            found.setdefault((view.name, view.provider, view.model), []).append((number, view))
    targets = [_target(each) for each in found.values()]
    return {"targets": targets, "silent_workers": told.silent}


def merged_requests(told: Told[list[RequestRow]], limit: int) -> dict[str, object]:
    """The newest of all workers, newest first."""
    rows = [(number, row) for number, rows in told.by_worker.items() for row in rows]
    rows.sort(key=lambda each: each[1].ended_at, reverse=True)
    return {
        "requests": [_numbered(number, row) for number, row in rows[:limit]],
        "silent_workers": told.silent,
    }


def _one(told: Told[RequestDetail | None]) -> Response:
    for number, detail in told.by_worker.items():
        if detail is not None:
            return answer(_numbered(number, detail))
    if told.silent:
        return refusal(503, "not found, but a worker did not answer; ask again")
    return refusal(404, "no finished request of this id is remembered")


def _target(told: list[tuple[int, TargetView]]) -> dict[str, object]:
    first, views = told[0][1], [view for _, view in told]
    return {
        "name": first.name,
        "provider": first.provider,
        "model": first.model,
        "state": _worst(views),
        **{name: sum([getattr(view, name) for view in views]) for name in _SUMS},
        "workers": [_by_one(number, view) for number, view in told],
    }


def _by_one(number: int, view: TargetView) -> dict[str, object]:
    return {
        "worker": number,
        "state": view.state,
        "open_for_seconds": round(view.open_for, 3),
        "latency_seconds": round(view.latency, 6),
        "tokens_per_second": round(view.tokens_per_second, 3),
        **{name: getattr(view, name) for name in _SUMS},
        "last_error": view.last_error,
        "credentials": [
            {
                "number": credential.number,
                "cooling_for_seconds": round(credential.cooling_for, 3),
                "cooldowns_total": credential.cooled,
            }
            for credential in view.credentials
        ],
    }


def _worst(views: Iterable[TargetView]) -> str:
    return max([view.state for view in views], key=_BADNESS.__getitem__)


def _numbered(number: int, value: RequestRow | RequestDetail) -> dict[str, object]:
    """As JSON types, so that what is empty stays absent, with the worker's number in front."""
    return {"worker": number, **msgspec.to_builtins(value)}
