"""An authority of a test, and a certificate for servers on this machine, made by openssl."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

OPENSSL = shutil.which("openssl")
PASSWORD = "of-the-key-store"
NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Certificates:
    """The authority, a certificate of it with its key, and both in the forms that servers take."""

    folder: Path
    names: str = NAMES

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def key_store(self) -> Path:
        """Key and certificate as PKCS #12."""
        return self.folder / "store.p12"

    @property
    def pem_store(self) -> Path:
        """Key and certificate in one file, as Kafka takes them."""
        return self.folder / "store.pem"

    def make(self) -> Certificates:
        self.folder.mkdir(parents=True, exist_ok=True)
        new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
        self._openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority of a test")
        self._openssl("req", *new[:-2], "-keyout", "key.pem", "-out", "cert.csr", "-subj", "/CN=server")
        (self.folder / "names").write_text(self.names)
        authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        self._openssl("x509", "-req", "-in", "cert.csr", "-out", "cert.pem", *authority)
        password = ("-passout", f"pass:{PASSWORD}", "-name", "server")
        self._openssl("pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem", "-out", "store.p12", *password)
        self._openssl("pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-out", "key8.pem")
        parts = [(self.folder / name).read_text() for name in ("key8.pem", "cert.pem", "ca.pem")]
        self.pem_store.write_text("".join(parts))
        return self

    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def _openssl(self, *arguments: str) -> None:
        assert OPENSSL is not None
        subprocess.run(
            [OPENSSL, *arguments], cwd=self.folder, check=True, capture_output=True, stdin=subprocess.DEVNULL
        )
