"""Certificates for tests, made by openssl."""

import subprocess
from pathlib import Path


class Authority:
    """Vouches for names. ca: its own certificate."""

    def __init__(self, home: Path, *, name: str = "test authority") -> None:
        home.mkdir(exist_ok=True)
        self._home = home
        self.ca = home / "ca.pem"
        self._key = home / "ca.key"
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.ca, "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def issue(self, name: str, *, expired: bool = False) -> tuple[Path, Path]:
        """Files of a certificate for `name` and 127.0.0.1, and of its key; expired: it was good until 2020."""
        cert, key, request = (self._home / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = self._home / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
        _openssl("req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        span = ("-days", "2")
        if expired:
            return self._expired(request, extensions, cert), key
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", *span),
            *("-extfile", extensions, "-out", cert),
        )
        return cert, key

    def _expired(self, request: Path, extensions: Path, cert: Path) -> Path:
        """`openssl x509` of the releases in use cannot date back, `openssl ca` can."""
        index, config = self._home / "index.txt", self._home / "ca.cnf"
        index.touch()
        config.write_text(
            f"[ca]\ndefault_ca = d\n[d]\ndatabase = {index}\nnew_certs_dir = {self._home}\nrand_serial = yes\n"
            "default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n"
        )
        _openssl(
            *("ca", "-batch", "-config", config, "-in", request, "-cert", self.ca, "-keyfile", self._key),
            *("-startdate", "20190101000000Z", "-enddate", "20200101000000Z", "-extfile", extensions, "-out", cert),
            "-notext",
        )
        return cert


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
