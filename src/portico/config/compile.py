"""A checked `Document` -> `Settings`."""

from msgspec import structs

from portico.config import binds_form, database, llm_form, values
from portico.config.errors import Path, Report
from portico.config.references import Env
from portico.config.schema import Document
from portico.config.secret import Secret
from portico.config.settings import Address, ListenerSettings, LogSettings, Settings
from portico.limits import Limits


def settings(doc: Document, env: Env, report: Report) -> Settings:
    """What `doc` means. Problems go to `report`; the settings are then not to be used."""
    process = doc.config
    return Settings(
        listeners=_listeners(doc, env, report),
        admin=_admin(process.admin_addr, report),
        limits=_limits(doc, report),
        deadlines=process.deadlines,
        log=LogSettings(
            level=process.logging.level,
            format=process.logging.format,
            access=process.logging.access,
        ),
        workers=process.workers,
        sealing_key=sealing_key(process.sealing_key, env, ("config", "sealingKey"), report),
        database=database.settings(
            process.database, env, ("config", "database"), report, workers=process.workers
        ),
        state_retention=process.state.retention,
    )


def _listeners(doc: Document, env: Env, report: Report) -> tuple[ListenerSettings, ...]:
    ports = [bind.port for bind in doc.binds or ()]
    if doc.llm is None and not ports:
        if report.sound(("llm",)) and report.sound(("binds",)):
            report.add((), "nothing to serve: write llm.models or binds")
        return ()
    if doc.llm is not None:
        ports.append(doc.llm.port)
    if doc.config.uds is not None and len(ports) > 1:
        report.add(("config", "uds"), "one socket cannot take the place of several ports")
    host = _host(doc.config.host, report)
    out: list[ListenerSettings] = []
    if doc.llm is not None:
        address = Address(host, doc.llm.port, doc.config.uds)
        out.append(llm_form.listener(doc.llm, address, doc.config.state.mode, env, report))
    for i, bind in enumerate(doc.binds or ()):
        if bind.port and ports.count(bind.port) > 1:
            report.add(("binds", i, "port"), "two listeners on one port")
        address = Address(host, bind.port, doc.config.uds)
        mode = doc.config.state.mode
        out.append(binds_form.listener(bind, address, mode, ("binds", i), env, report))
    return tuple(out)


def _host(text: str, report: Report) -> str:
    try:
        return "127.0.0.1" if text == "localhost" else values.host(text)
    except ValueError as error:
        report.add(("config", "host"), str(error))
        return text


def _admin(text: str, report: Report) -> Address | None:
    try:
        return values.listen_address(text)
    except ValueError as error:
        report.add(("config", "adminAddr"), str(error))
        return None


def sealing_key(written: Secret | None, env: Env, path: Path, report: Report) -> Secret | None:
    """The key of the document, else that of `PORTICO_SEALING_KEY`, else None."""
    text = written.reveal() if written is not None else env.get("PORTICO_SEALING_KEY")
    if not text:
        return None
    try:
        return Secret(values.sealing_key(text))
    except ValueError as error:
        where = "" if written is not None else "the environment variable PORTICO_SEALING_KEY: "
        report.add(path, f"{where}{error}")
        return None


def _limits(doc: Document, report: Report) -> Limits:
    limits, size = doc.config.limits, doc.frontend_policies.http.max_buffer_size
    if size is None:
        return limits
    if limits.body_bytes not in (Limits().body_bytes, size):
        report.add(
            ("frontendPolicies", "http", "maxBufferSize"), "differs from config.limits.bodyBytes"
        )
    return structs.replace(limits, body_bytes=size)
