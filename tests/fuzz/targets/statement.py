"""SQL that the embedded endpoint is sent: understood, or refused with ClickHouse's code; data are never lost."""

from infra.embedded.errors import QueryError
from infra.embedded.guard import Guard
from infra.embedded.statement import parse

SEEDS = [
    b"SELECT 1",
    b"WITH 1 AS a SELECT a, 'x''y\\'' FROM `t``` /* c */ WHERE {p:String} = $tag$ ; $tag$ -- end\n FORMAT JSON",
    b"INSERT INTO db.t (a, b) SETTINGS async_insert = 1 FORMAT Native\n\x01\x00\xff",
    b"INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    b"INSERT INTO FUNCTION url('http://x') SELECT 1",
    b"CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS index_granularity = 1;",
    b"CREATE DICTIONARY d (a Int32) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't')) LAYOUT(FLAT())",
    b"SYSTEM SHUTDOWN",
    b"(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV SETTINGS max_threads = 1",
    b"SELECT \xe2\x80\x98a\xe2\x80\x99, \xe2\x80\x9cb\xe2\x80\x9d \xe2\x88\x92\xe2\x88\x92 c",
]
TOKENS = (
    *(b"INSERT INTO ", b" FORMAT ", b" VALUES ", b"SELECT ", b" SETTINGS ", b"/*", b"*/", b"--", b"#!", b"$$", b"$a$"),
    *(
        b"''",
        b"\\",
        b"`",
        b'"',
        b"{a:b}",
        b";",
        b"(",
        b")",
        b"ENGINE = ",
        b"SOURCE(",
        b"\xe2\x80\x98",
        b"\x00",
        b"file(",
    ),
    *(b"\\'" * 3_000, b"$" * 3_000, b"/*" * 3_000, b"{" * 3_000, b" " * 3_000, b"FROM INFILE 'x'", b"ATTACH", b"INPUT"),
)
_GUARD = Guard(["file", "numbers", "url", "view"])


def check(data: bytes) -> str:
    """AssertionError when the parts are not parts of the whole."""
    try:
        statement = parse(data)
        assert data.startswith(statement.text)
        assert statement.data is None or data.endswith(bytes(statement.data))
        ends = [token.end for token in statement.tokens]
        assert ends == sorted(set(ends))
        assert statement.verb
        _GUARD.check(statement)
    except QueryError as error:
        _judge(error)
        return f"refused: {error.code}"
    return "insert" if statement.data is not None else "statement"


def _judge(error: QueryError) -> None:
    assert 400 <= error.status <= 501
    assert error.text.startswith("Code: ")
