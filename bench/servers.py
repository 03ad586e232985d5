"""What is measured and what it is measured with: nginx, the gateway, the fake upstreams."""

import http.client
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import dialects, responses, wire
from bench.metrics import Counted, counted
from bench.proc import Child, Cpus, stop_all

ROOT = Path(__file__).resolve().parent
WORK = ROOT / ".work"
HOW_TO_GET = "on Debian or Ubuntu: apt-get install nginx wrk"
_CLIENT = {"authorization": f"Bearer {wire.KEY}"}

_NGINX_HEAD = """\
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; server_tokens off;
  client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
  uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
  client_max_body_size 16m; client_body_buffer_size 2m;
"""
_NGINX_ANSWERS = """\
  map $msec $moment {{ ~^(?<whole>[0-9]+)[.](?<part>[0-9]+)$ $whole$part; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{body}'; }} }}
}}
"""
_NGINX_PROXIES = """\
  proxy_http_version 1.1; proxy_set_header Connection "";
"""
_NGINX_PROXY = """\
  upstream up{number} {{ server 127.0.0.1:{up}; keepalive 512;
    keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://up{number}; {more} }} }}
"""
UNBUFFERED = "proxy_buffering off;"
_GATEWAY = """\
# What `make bench` measures. One worker; key check, metrics and access log are on.
llm:
  port: {port}
  models:
{models}
  policies:
    apiKey:
      mode: strict
      keys:
      - key: {key}
        metadata: {{ team: bench, user: wrk }}
config:
  workers: 1
  database: {{ url: "sqlite:///{database}" }}
  adminAddr: 127.0.0.1:{admin}
  limits: {{ inFlightPerKey: 100000, connections: 20000, upstreamConnections: 20000 }}
  deadlines: {{ drainDelay: 0s }}
"""
_MODEL = """\
  - name: {name}
    provider: {provider}
    params: {{ model: {model}, apiKey: up, baseUrl: "http://127.0.0.1:{port}/v1" }}"""


def database_of(name: str) -> Path:
    """The database of the gateway of this name; what a run before has left is deleted by `Rig`."""
    return WORK / f"{name}.db"


def missing_tools() -> list[str]:
    """Which of nginx and wrk are not installed."""
    return [tool for tool in ("nginx", "wrk") if find(tool) is None]


def find(tool: str) -> str | None:
    """Where a tool is; Debian keeps nginx out of ordinary users' PATH."""
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/usr/local/sbin:/sbin")


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One GET. Raises OSError or `http.client.HTTPException`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def post(port: int, body: bytes, path: str = wire.PATH) -> tuple[int, bytes]:
    """One whole call."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, body, {**_CLIENT, "content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@dataclass
class Gateway:
    """A running `portico serve`, answering on `port`."""

    child: Child
    port: int
    admin: int
    dialect: str = "chat"
    """What its clients speak, for `counted`."""

    def counted(self) -> Counted:
        """Its own count, once nothing is in flight any more (or after two seconds)."""
        deadline = time.monotonic() + 2
        while True:
            now = counted(get(self.admin, "/metrics")[1].decode(), self.dialect)
            if now.in_flight <= 0 or time.monotonic() > deadline:
                return now
            time.sleep(0.05)

    def ready(self, seconds: float = 15.0) -> float:
        """Wait for the first 200 of `/v1/models`. Returns seconds since the process was started."""
        return self._wait(self.port, "/v1/models", _CLIENT, seconds)

    def live(self, seconds: float = 15.0) -> float:
        """Wait for the admin listener. Returns seconds since the process was started."""
        return self._wait(self.admin, "/healthz/live", {}, seconds)

    def _wait(self, port: int, path: str, headers: dict[str, str], seconds: float) -> float:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.child.check()
            try:
                if get(port, path, headers)[0] == 200:
                    return time.monotonic() - self.child.started
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.002)
        raise RuntimeError(f"the gateway does not answer {path} on port {port}")


@dataclass
class Rig:
    """Starts servers and remembers them. Use as a context manager: everything ends with it."""

    cpus: Cpus = field(default_factory=Cpus)
    children: list[Child] = field(default_factory=list)

    def __enter__(self) -> "Rig":
        WORK.mkdir(exist_ok=True)
        for file in WORK.glob("*.db*"):
            file.unlink()
        return self

    def __exit__(self, *exc: object) -> None:
        stop_all(self.children)

    def child(self, name: str, command: list[str], cpus: set[int], **env: str) -> Child:
        """Start a process with an environment that holds nothing of the caller's settings."""
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
        clean = {key: os.environ[key] for key in kept if key in os.environ}
        child = Child(name, command, cpus, WORK, {**clean, **env})
        self.children.append(child)
        return child

    def whole_upstream(self, answer: bytes | None = None, name: str = "upstream") -> int:
        """nginx answering one answer to everything (a chat answer). Returns its port."""
        port = free_port()
        text = _NGINX_ANSWERS.format(port=port, body=(answer or wire.answer()).decode())
        self._nginx(name, text, self.cpus.upstream)
        wait_for(port)
        return port

    def streamed_upstream(
        self, events: int, interval: float, hold: bool = False, batch: int = 1
    ) -> tuple[int, Child]:
        """`bench.sse_upstream` with `interval` seconds between events, `batch` in one write.
        Returns its port, itself."""
        port = free_port()
        command = [sys.executable, "-m", "bench.sse_upstream", str(port), str(events)]
        command += [str(interval * 1000), *(["hold"] if hold else []), f"batch={batch}"]
        name = "held-upstream" if hold else f"streamed-upstream-{batch}"
        child = self.child(name, command, self.cpus.upstream, PYTHONPATH=str(ROOT.parent))
        wait_for(port)
        return port, child

    def proxy(self, whole_up: int, streamed_up: int) -> tuple[Child, int, int]:
        """nginx `proxy_pass`. Returns itself and its ports for whole and streamed answers."""
        child, (whole, streamed) = self.proxies([(whole_up, ""), (streamed_up, UNBUFFERED)])
        return child, whole, streamed

    def proxies(self, upstreams: list[tuple[int, str]]) -> tuple[Child, list[int]]:
        """nginx `proxy_pass` to each of these ports, with directives. Returns itself, its ports."""
        ports = [free_port() for _ in upstreams]
        text = _NGINX_PROXIES + "".join(
            _NGINX_PROXY.format(number=number, port=ports[number], up=up, more=more)
            for number, (up, more) in enumerate(upstreams)
        )
        child = self._nginx("proxy", text + "}\n", self.cpus.tested)
        for port in ports:
            wait_for(port)
        return child, ports

    def gateway(self, whole_up: int, streamed_up: int, name: str = "gateway") -> Gateway:
        """`portico serve` as an operator starts it. Not ready yet: see `Gateway.ready`."""
        targets = [(wire.MODEL, whole_up), (wire.STREAM_MODEL, streamed_up)]
        models = [
            _MODEL.format(name=model, provider="openAI", model=wire.UPSTREAM_MODEL, port=port)
            for model, port in targets
        ]
        return self._gateway(name, models, "chat")

    def translator(self, targets: list[tuple[str, str, int]]) -> Gateway:
        """The same with custom providers that do not speak Responses, as its clients do. A target
        is a model's name, the dialect of its provider, and the provider's port."""
        models = [
            _MODEL.format(
                name=model,
                provider=f"{{ custom: {{ formats: [{{ type: {dialects.FORMATS[dialect]} }}] }} }}",
                model=dialects.MODELS[dialect],
                port=port,
            )
            for model, dialect, port in targets
        ]
        return self._gateway("gateway-translate", models, "responses")

    def stateful(self, name: str, spliced: dict[str, int], translated: dict[str, int]) -> Gateway:
        """The same for what is stored, on `database_of(name)`: models whose provider speaks
        Responses, and models whose provider speaks Chat, each with its port."""
        models = [
            _MODEL.format(name=model, provider="openAI", model=responses.UPSTREAM_MODEL, port=port)
            for model, port in spliced.items()
        ]
        custom = "{ custom: { formats: [{ type: completions }] } }"
        models += [
            _MODEL.format(name=model, provider=custom, model=dialects.MODELS["chat"], port=port)
            for model, port in translated.items()
        ]
        return self._gateway(name, models, "responses")

    def _gateway(self, name: str, models: list[str], dialect: str) -> Gateway:
        port, admin = free_port(), free_port()
        path = WORK / f"{name}.yaml"
        path.write_text(
            _GATEWAY.format(
                port=port,
                admin=admin,
                key=wire.KEY,
                models="\n".join(models),
                database=database_of(name),
            )
        )
        command = [sys.executable, "-m", "portico", "serve", "--config", str(path)]
        return Gateway(self.child(name, command, self.cpus.tested), port, admin, dialect)

    def stop(self, child: Child) -> None:
        """End one before the others."""
        child.stop()
        self.children.remove(child)
        child.out.unlink(missing_ok=True)  # an access log can be large

    def _nginx(self, name: str, rest: str, cpus: set[int]) -> Child:
        folder = WORK / f"nginx-{name}"
        folder.mkdir(exist_ok=True)
        (folder / "nginx.conf").write_text(_NGINX_HEAD.format(dir=folder) + rest)
        nginx = find("nginx") or "nginx"
        errors = str(folder / "error.log")
        command = [nginx, "-c", str(folder / "nginx.conf"), "-e", errors, "-p", str(folder)]
        return self.child(f"nginx-{name}", command, cpus)


def wait_for(port: int, seconds: float = 10.0) -> None:
    """Wait until something listens. Raises RuntimeError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}; see {WORK}")
