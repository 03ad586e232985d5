"""The `portico` command. Each flag is also an environment variable, `PORTICO_` and its name."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from portico import __version__

app = App(
    name="portico",
    version=__version__,
    help="An AI gateway: one front door from any client dialect to any model.",
    default_parameter=Parameter(negative=()),
)


def _flag(name: str, help: str) -> Parameter:  # noqa: A002
    return Parameter(name=name, help=help, env_var=f"PORTICO_{name[2:].replace('-', '_').upper()}")


@app.command
def serve(
    file: Annotated[str | None, Parameter(help="Configuration file, as --config.")] = None,
    /,
    *,
    config: Annotated[
        str | None,
        Parameter(name=["--config", "-c"], help="Configuration file.", env_var="PORTICO_CONFIG"),
    ] = None,
    demo: Annotated[bool, _flag("--demo", "Serve the built-in scripted provider.")] = False,
    host: Annotated[str | None, _flag("--host", "Address to listen on.")] = None,
    port: Annotated[int | None, _flag("--port", "Port to listen on.")] = None,
    uds: Annotated[str | None, _flag("--uds", "Unix socket to listen on instead.")] = None,
    workers: Annotated[int | None, _flag("--workers", "Worker processes.")] = None,
    admin: Annotated[str | None, _flag("--admin", "Admin listener, host:port or 'off'.")] = None,
    log_level: Annotated[
        Literal["debug", "info", "warn", "error"] | None, _flag("--log-level", "Log level.")
    ] = None,
    log_format: Annotated[
        Literal["json", "console"] | None, _flag("--log-format", "Format of the operator's log.")
    ] = None,
    ssl_certfile: Annotated[
        str | None, _flag("--ssl-certfile", "PEM certificate of the listener.")
    ] = None,
    ssl_keyfile: Annotated[str | None, _flag("--ssl-keyfile", "PEM key of the listener.")] = None,
    insecure: Annotated[
        bool, _flag("--insecure", "Allow a network address without API keys.")
    ] = False,
) -> int:
    """Run the gateway.

    Without --config the provider keys in the environment decide what is served; without those, or
    with --demo, a scripted provider answers.
    """
    from portico.cli import serve as command
    from portico.cli.source import Overrides

    return command.serve(
        command.Options(
            config=config or file,
            demo=demo,
            insecure=insecure,
            overrides=Overrides(
                host=host,
                port=port,
                uds=uds,
                workers=workers,
                admin=admin,
                log_level=log_level,
                log_format=log_format,
                ssl_certfile=ssl_certfile,
                ssl_keyfile=ssl_keyfile,
            ),
        )
    )


@app.command
def check(file: str, /) -> int:
    """Check a configuration file and print what it comes to, secrets masked.

    Exits 0 when it is usable, 1 when it is not, 2 when it cannot be read.
    """
    from portico.cli.check import check as command

    return command(file)


@app.command
def schema() -> int:
    """Print the JSON Schema of the configuration file."""
    from portico.cli.schema import schema as command

    return command()


@app.command
def capabilities(
    *,
    into: Annotated[
        str | None, Parameter(help="Write the tables between the markers of this file.")
    ] = None,
) -> int:
    """Print what every provider and family of models takes, as Markdown tables."""
    from portico.cli.capabilities import capabilities as command

    return command(into)


@app.command
def demo(
    *,
    url: Annotated[
        str | None, Parameter(help="Visit a running gateway instead of starting a demo.")
    ] = None,
) -> int:
    """A short tour: a plain call, a streamed one, and the usage recorded."""
    from portico.cli.tour import visit

    return visit(url)


def main() -> None:
    """Console script. Exits with the command's code."""
    raise SystemExit(app(result_action="return_value") or 0)
