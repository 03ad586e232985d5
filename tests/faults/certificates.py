"""Certificates for the TLS tests, made with the `openssl` command in a directory of their own."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    cert: str
    key: str

    def server(self) -> ssl.SSLContext:
        """A server context that presents it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(frozen=True)
class Certificates:
    """`good` is for localhost and 127.0.0.1; all but `alone` are signed by `root`."""

    root: str
    good: Pair
    expired: Pair
    elsewhere: Pair
    client: Pair
    alone: Pair


def make(folder: Path) -> Certificates:
    """Make them all; takes about a second."""
    here = "DNS:localhost,IP:127.0.0.1"
    root = _self_signed(folder, "root", "CA:TRUE")
    return Certificates(
        root.cert,
        _signed(folder, root, "good", here),
        _signed(folder, root, "expired", here, days=-1),
        _signed(folder, root, "elsewhere", "DNS:elsewhere.test"),
        _signed(folder, root, "client", "DNS:client.test"),
        _self_signed(folder, "alone", "CA:FALSE", here),
    )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _key(folder: Path, name: str) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            str(folder / f"{name}.key"), "-subj", f"/CN={name}"]  # fmt: skip


def _self_signed(folder: Path, name: str, constraint: str, names: str = "") -> Pair:
    cert = str(folder / f"{name}.pem")
    extra = ["-addext", f"subjectAltName={names}"] if names else []
    _openssl("req", "-x509", *_key(folder, name), "-out", cert, "-days", "2",
             "-addext", f"basicConstraints=critical,{constraint}", *extra)  # fmt: skip
    return Pair(cert, str(folder / f"{name}.key"))


def _signed(folder: Path, root: Pair, name: str, names: str, days: int = 2) -> Pair:
    request, cert = str(folder / f"{name}.csr"), str(folder / f"{name}.pem")
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
    _openssl("req", "-new", *_key(folder, name), "-out", request)
    _openssl("x509", "-req", "-in", request, "-CA", root.cert, "-CAkey", root.key,
             "-CAcreateserial", "-out", cert, "-days", str(days),
             "-extfile", str(extensions))  # fmt: skip
    return Pair(cert, str(folder / f"{name}.key"))
