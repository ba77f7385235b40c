"""Bodies, packed and unpacked."""

import gzip

import lz4.frame
import pytest
import zstandard

from infra.embedded.errors import QueryError
from infra.embedded.http_codec import compress, decompress, form_fields

PACK = {"gzip": gzip.compress, "lz4": lz4.frame.compress, "zstd": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("encoding", PACK)
def test_all_frames_of_a_body_are_read(encoding: str) -> None:
    body = PACK[encoding](b"first block, ") + PACK[encoding](b"second block")
    assert decompress(body, encoding=encoding, max_bytes=25) == b"first block, second block"


@pytest.mark.parametrize("encoding", PACK)
def test_a_small_body_that_unpacks_to_a_large_one_is_refused(encoding: str) -> None:
    body = PACK[encoding](bytes(1_000_000)) + PACK[encoding](bytes(1_000_000))
    assert len(decompress(body, encoding=encoding, max_bytes=2_000_000)) == 2_000_000
    with pytest.raises(QueryError, match="more than 1999999 bytes") as told:
        decompress(body, encoding=encoding, max_bytes=1_999_999)
    assert told.value.status == 413


@pytest.mark.parametrize("encoding", PACK)
def test_a_damaged_or_cut_off_body_is_refused(encoding: str) -> None:
    whole = PACK[encoding](b"abc" * 999)
    for body in (b"not packed at all", whole[:-3], whole + whole[:-3], whole + b"and more"):
        with pytest.raises(QueryError, match=f"not valid {encoding}"):
            decompress(body, encoding=encoding, max_bytes=10_000)


def test_an_unknown_encoding_is_refused_with_those_that_are_served() -> None:
    with pytest.raises(QueryError, match="br: not served; use lz4, zstd, gzip or none"):
        decompress(b"", encoding="br", max_bytes=1)


@pytest.mark.parametrize(
    ("accept", "encoding"), [("gzip, deflate", "gzip"), ("zstd;q=1.0, gzip", "zstd"), ("br", ""), ("", "")]
)
def test_an_answer_is_packed_as_the_client_accepts(accept: str, encoding: str) -> None:
    body, told = compress(b"abc" * 1000, accept_encoding=accept)
    assert told == encoding
    assert decompress(body, encoding=encoding, max_bytes=3000) == b"abc" * 1000


def test_the_fields_of_a_form() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT\n{a:String}\r\n'
        b'--x\r\nContent-Disposition: form-data; name="param_a"\r\n\r\n\xc2\xb0C \r\n--x--\r\n'
    )
    fields = form_fields(body, content_type="multipart/form-data; boundary=x")
    assert fields == {"query": "SELECT\n{a:String}", "param_a": "°C "}


def test_a_form_with_a_file_or_without_parts_is_refused() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--x--\r\n'
    with pytest.raises(QueryError, match="External tables are not served"):
        form_fields(body, content_type="multipart/form-data; boundary=x")
    with pytest.raises(QueryError, match="not valid multipart/form-data"):
        form_fields(b"SELECT 1", content_type="multipart/form-data")
