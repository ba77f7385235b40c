"""Bodies of requests to the embedded endpoint: unpacked within their limit, forms read, or refused.

The first byte chooses: lz4, zstd, gzip, else a form whose first line is its content type.
"""

import pyarrow as pa

from infra.embedded.errors import QueryError
from infra.embedded.http_codec import compress, decompress, form_fields

_MAX_BYTES = 100_000
_PLAIN = b"SELECT 1 " * 20
_PACKED = {code: pa.compress(_PLAIN, codec=code, asbytes=True) for code in ("lz4", "zstd", "gzip")}
_ENCODINGS = {b"l": "lz4", b"z": "zstd", b"g": "gzip"}
_PART = b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n'
_FORM = b"fmultipart/form-data; boundary=x\n"
SEEDS = [
    *(first + _PACKED[code] for first, code in _ENCODINGS.items()),
    b"l" + 2 * _PACKED["lz4"],
    _FORM + _PART + b"--x--\r\n",
    _FORM + _PART + _PART.replace(b"query", b"param_a") + b"--x--\r\n",
    _FORM + _PART.replace(b'"\r\n\r\n', b'"; filename="t"\r\nContent-Type: text/plain\r\n\r\n') + b"--x--\r\n",
]
TOKENS = (
    *(b"--x\r\n", b"--x--\r\n", b"Content-Type: multipart/mixed; boundary=y\r\n", b"Content-Type: message/rfc822\r\n"),
    *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n", b"charset=utf-7", b"--y"),
    *(b"Content-Disposition: ", b"name*=utf-8''a", b"name*0=", b'filename="', b"boundary=", b"=?utf-8?b?", b"\r\n\r\n"),
    *(b"\xff", b"\0", b'"', b";", b"(", b"[", b"<", b"@", b"Content-Type: ", b"name*1*=", b"="),
)


def check(data: bytes) -> str:
    """AssertionError when more comes out than is allowed."""
    kind, body = data[:1], data[1:]
    try:
        if kind in _ENCODINGS:
            unpacked = decompress(body, encoding=_ENCODINGS[kind], max_bytes=_MAX_BYTES)
            assert len(unpacked) <= _MAX_BYTES
            packed, encoding = compress(unpacked, accept_encoding=f"br, {_ENCODINGS[kind]};q=1")
            assert decompress(packed, encoding=encoding, max_bytes=_MAX_BYTES) == unpacked
            return "unpacked"
        content_type, _, form = body.partition(b"\n")
        fields = form_fields(form, content_type=content_type.decode("latin-1"))
    except QueryError as error:
        return f"refused: {error.code}"
    except UnicodeDecodeError:
        return "refused: UTF-8"  # the endpoint says so
    assert all(isinstance(value, str) for value in fields.values())
    return f"{len(fields)} fields"
