"""Compressed HTTP bodies, both ways, and multipart forms."""

from email.message import Message
from email.parser import BytesParser
from email.utils import collapse_rfc2231_value

import pyarrow as pa

from infra.embedded.errors import BAD_ARGUMENTS, CANNOT_DECOMPRESS, NOT_IMPLEMENTED, TOO_LARGE, QueryError

_ENCODINGS = ("lz4", "zstd", "gzip")  # names of pyarrow's codecs too; cheapest first


def decompress(body: bytes, *, encoding: str, max_bytes: int) -> bytes:
    """The body of a request whose Content-Encoding is `encoding` ("" or "identity": as it is).

    Raises QueryError for an unknown encoding, a damaged or cut-off body, or one of more than `max_bytes` unpacked.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in _ENCODINGS:
        raise QueryError(
            NOT_IMPLEMENTED, f"Content-Encoding {encoding}: not served; use {', '.join(_ENCODINGS)} or none"
        )
    try:
        # Reads all frames of the body (clickhouse-connect sends one per block) and notices when the last is cut off.
        unpacked: bytes = pa.CompressedInputStream(pa.BufferReader(body), encoding).read(max_bytes + 1)
    except OSError as error:
        raise QueryError(CANNOT_DECOMPRESS, f"The body is not valid {encoding}: {error}") from None
    if len(unpacked) > max_bytes:
        raise too_large(max_bytes)
    return unpacked


def compress(body: bytes, *, accept_encoding: str) -> tuple[bytes, str]:
    """The body in the first encoding we have of those accepted, and that encoding ("" when there is none)."""
    accepted = {offer.partition(";")[0].strip() for offer in accept_encoding.split(",")}
    for encoding in _ENCODINGS:
        if encoding in accepted:
            return pa.compress(body, codec=encoding, asbytes=True), encoding
    return body, ""


def form_fields(body: bytes, *, content_type: str) -> dict[str, str]:
    """The text fields of a multipart/form-data body. Raises QueryError when it is none or holds files."""
    header = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    # By the older of Python's two parsers: the newer one trips over headers that are wrong.
    form = BytesParser().parsebytes(header + body)
    if not form.is_multipart():
        raise QueryError(BAD_ARGUMENTS, "The body is not valid multipart/form-data")
    fields: dict[str, str] = {}
    for part in form.get_payload():
        assert isinstance(part, Message)
        if part.get_filename() is not None:
            raise QueryError(NOT_IMPLEMENTED, "External tables are not served by the embedded endpoint")
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):  # a part that is a message of parts itself
            raise QueryError(BAD_ARGUMENTS, "A field of the form is not plain text")
        name = part.get_param("name", "", header="content-disposition")
        fields[collapse_rfc2231_value(name)] = content.decode()
    return fields


def too_large(max_bytes: int) -> QueryError:
    """What to say to a body of more than `max_bytes`."""
    return QueryError(
        TOO_LARGE,
        f"The body has more than {max_bytes} bytes, unpacked or packed: send smaller blocks. (TOO_MANY_BYTES)",
    )
