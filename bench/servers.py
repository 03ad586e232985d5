"""What is measured and what it is measured with: nginx, the gateway, the fake upstreams."""

import http.client
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import wire
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
"""
_NGINX_ANSWERS = """\
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{body}'; }} }}
}}
"""
_NGINX_PROXIES = """\
  upstream whole {{ server 127.0.0.1:{whole_up}; keepalive 512;
    keepalive_requests 100000000; }}
  upstream streamed {{ server 127.0.0.1:{streamed_up}; keepalive 512;
    keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{whole} backlog=4096;
    location / {{ proxy_pass http://whole; }} }}
  server {{ listen 127.0.0.1:{streamed} backlog=4096;
    location / {{ proxy_pass http://streamed; proxy_buffering off; }} }}
}}
"""
_GATEWAY = """\
# What `make bench` measures. One worker; key check, metrics and access log are on.
llm:
  port: {port}
  models:
  - name: {model}
    provider: openAI
    params: {{ model: {upstream}, apiKey: up, baseUrl: "http://127.0.0.1:{whole_up}/v1" }}
  - name: {stream_model}
    provider: openAI
    params: {{ model: {upstream}, apiKey: up, baseUrl: "http://127.0.0.1:{streamed_up}/v1" }}
  policies:
    apiKey:
      mode: strict
      keys:
      - key: {key}
        metadata: {{ team: bench, user: wrk }}
config:
  workers: 1
  adminAddr: 127.0.0.1:{admin}
  limits: {{ inFlightPerKey: 100000, connections: 20000, upstreamConnections: 20000 }}
  deadlines: {{ drainDelay: 0s }}
"""


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


def post(port: int, body: bytes) -> tuple[int, bytes]:
    """One whole chat call."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", wire.PATH, body, {**_CLIENT, "content-type": "application/json"})
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

    def counted(self) -> Counted:
        """Its own count, once nothing is in flight any more (or after two seconds)."""
        deadline = time.monotonic() + 2
        while True:
            now = counted(get(self.admin, "/metrics")[1].decode())
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

    def whole_upstream(self) -> int:
        """nginx answering one chat answer to everything. Returns its port."""
        port = free_port()
        body = wire.answer().decode()
        self._nginx("upstream", _NGINX_ANSWERS.format(port=port, body=body), self.cpus.upstream)
        wait_for(port)
        return port

    def streamed_upstream(
        self, events: int, interval: float, hold: bool = False
    ) -> tuple[int, Child]:
        """`bench.sse_upstream` with `interval` seconds between events. Returns its port, itself."""
        port = free_port()
        command = [sys.executable, "-m", "bench.sse_upstream", str(port), str(events)]
        command += [str(interval * 1000), *(["hold"] if hold else [])]
        name = "held-upstream" if hold else "streamed-upstream"
        child = self.child(name, command, self.cpus.upstream, PYTHONPATH=str(ROOT.parent))
        wait_for(port)
        return port, child

    def proxy(self, whole_up: int, streamed_up: int) -> tuple[Child, int, int]:
        """nginx `proxy_pass`. Returns itself and its ports for whole and streamed answers."""
        whole, streamed = free_port(), free_port()
        text = _NGINX_PROXIES.format(
            whole=whole, streamed=streamed, whole_up=whole_up, streamed_up=streamed_up
        )
        child = self._nginx("proxy", text, self.cpus.tested)
        wait_for(whole)
        wait_for(streamed)
        return child, whole, streamed

    def gateway(self, whole_up: int, streamed_up: int, name: str = "gateway") -> Gateway:
        """`portico serve` as an operator starts it. Not ready yet: see `Gateway.ready`."""
        port, admin = free_port(), free_port()
        path = WORK / f"{name}.yaml"
        path.write_text(
            _GATEWAY.format(
                port=port,
                admin=admin,
                key=wire.KEY,
                model=wire.MODEL,
                upstream=wire.UPSTREAM_MODEL,
                stream_model=wire.STREAM_MODEL,
                whole_up=whole_up,
                streamed_up=streamed_up,
            )
        )
        command = [sys.executable, "-m", "portico", "serve", "--config", str(path)]
        return Gateway(self.child(name, command, self.cpus.tested), port, admin)

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
