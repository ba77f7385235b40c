"""How large an Arrow IPC stream becomes when it is decompressed, read from its metadata before doing so.

Layout of the metadata: https://github.com/apache/arrow/blob/main/format/Message.fbs, in FlatBuffers encoding.
"""

from collections.abc import Iterable
from struct import unpack_from
from typing import Any

_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def unfolded_bytes(messages: Iterable[Any]) -> int:
    """Sum over pyarrow.ipc.Message objects (their metadata already verified by pyarrow) of the size of all buffers."""
    return sum(_body_bytes(message.metadata.to_pybytes(), message.body) for message in messages)


def _body_bytes(metadata: bytes, body: Any) -> int:
    if body is None:
        return 0
    batch = _record_batch(metadata)
    if batch is None or _field(metadata, batch, 3) is None:  # RecordBatch.compression
        return int(body.size)
    buffers = _field(metadata, batch, 2)
    return body.size if buffers is None else sum(_buffer_bytes(body, *span) for span in _spans(metadata, buffers))


def _record_batch(metadata: bytes) -> int | None:
    """Position of the RecordBatch table, which a DictionaryBatch holds too."""
    root: int = unpack_from("<I", metadata, 0)[0]
    kind, header = _field(metadata, root, 1), _field(metadata, root, 2)
    if kind is None or header is None or metadata[kind] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return None
    table = _follow(metadata, header)
    if metadata[kind] == _RECORD_BATCH:
        return table
    data = _field(metadata, table, 1)
    return None if data is None else _follow(metadata, data)


def _field(metadata: bytes, table: int, slot: int) -> int | None:
    """Position of a table's field; None when it is left out."""
    vtable = table - unpack_from("<i", metadata, table)[0]
    entry = 4 + 2 * slot
    if entry >= unpack_from("<H", metadata, vtable)[0]:
        return None
    offset: int = unpack_from("<H", metadata, vtable + entry)[0]
    return table + offset if offset else None


def _follow(metadata: bytes, position: int) -> int:
    offset: int = unpack_from("<I", metadata, position)[0]
    return position + offset


def _spans(metadata: bytes, field: int) -> Iterable[tuple[int, int]]:
    """(offset, length) of each buffer within the body."""
    vector = _follow(metadata, field)
    for i in range(unpack_from("<I", metadata, vector)[0]):
        offset, length = unpack_from("<qq", metadata, vector + 4 + 16 * i)
        yield offset, length


def _buffer_bytes(body: Any, offset: int, length: int) -> int:
    """A compressed buffer begins with its size as int64, -1 when it is stored as it is."""
    if length < 8 or not 0 <= offset <= body.size - 8:
        return 0
    size: int = unpack_from("<q", body, offset)[0]
    return size if size >= 0 else length
