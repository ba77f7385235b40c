"""One SQL statement as the endpoint must understand it: its verb, its output format, where inline data begin.

Only as much grammar as that needs: strings, quoted names and comments are told apart, parentheses are counted. Bytes
throughout, because the data of an insert need not be text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from infra.embedded.errors import NOT_IMPLEMENTED, SYNTAX_ERROR, QueryError

# The curly quotes and minus signs are in ClickHouse's lexer too. What is left of non-ASCII is space or an error there;
# it counts as space here, so that none of it can hide a name from the guard.
_TOKEN = re.compile(
    rb"""
      (?P<word> [A-Za-z_]\w* )
    | (?P<number> \d[\w.]* )
    | (?P<space> \s+ | (?:--|\xe2\x88\x92\xe2\x88\x92|\#[ !])[^\n]* | /\*.*?\*/ )
    | (?P<literal> '(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | \xe2\x80\x98.*?\xe2\x80\x99 )
    | (?P<quoted> "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` | \xe2\x80\x9c.*?\xe2\x80\x9d )
    | (?P<open> ['"`] | /\* | \$\w*\$ | \xe2\x80[\x98\x9c] )
    | (?P<other> [\x80-\xff]+ )
    | (?P<substitution> \{\s*\w+\s*:[^{}]*\} )
    | (?P<mark> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_MAX_STATEMENT_BYTES = 262_144  # ClickHouse's own max_query_size

_WITH_RESULT = {b"SELECT", b"WITH", b"FROM", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK", b"KILL"}


class Token(NamedTuple):
    """kind: literal, quoted, substitution, word, number or mark. key: as written, words in capitals. end: past it."""

    kind: str
    key: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """text: the SQL, without the data and the FORMAT or VALUES clause of an insert that has data.

    tokens: all of `text`.
    data, format: of an insert the data and their format; else None, and the format the result is asked in, if any.
    """

    text: bytes
    tokens: tuple[Token, ...]
    format: str | None
    data: memoryview | None = None

    @property
    def verb(self) -> bytes:
        """Its first word in capitals; b"SELECT" for what begins with a parenthesis."""
        first = self.tokens[0].key
        return b"SELECT" if first == b"(" else first

    @property
    def has_result(self) -> bool:
        """Whether it answers with rows, be they none."""
        return self.verb in _WITH_RESULT


def parse(query: bytes) -> Statement:
    """Understand one statement and what follows it as data.

    Raises QueryError when there is no statement, more than one, an open string or comment, or one over 256 KiB.
    """
    tokens: list[Token] = []
    depth = 0
    selects = False
    for token in _tokens(query):
        if token.key == b";":
            _expect_end(query[token.end :])
            query = query[: token.end - 1]
            break
        if depth == 0 and not selects and tokens and tokens[0].key == b"INSERT" and not _names_table(tokens):
            if token.key == b"VALUES":
                return _insert(query, tokens, clause=token, data_format="Values", start=token.end)
            if tokens[-1].key == b"FORMAT" and token.kind == "word" and not _names_table(tokens[:-1]):
                return _insert(
                    query, tokens[:-1], clause=tokens[-1], data_format=_written(query, token), start=token.end
                )
        selects = selects or token.key in (b"SELECT", b"WITH", b"FROM")
        depth += {b"(": 1, b")": -1}.get(token.key, 0)
        tokens.append(token)
    if not tokens:
        raise QueryError(SYNTAX_ERROR, "Empty query. (SYNTAX_ERROR)")
    if tokens[0].key == b"INSERT" and any(token.key == b"INPUT" for token in tokens):
        raise QueryError(
            NOT_IMPLEMENTED, "INSERT ... SELECT ... FROM input() is not served here: insert the rows plainly"
        )
    return Statement(query, tuple(tokens), _result_format(query, tokens))


def _tokens(query: bytes) -> Iterator[Token]:
    position = 0
    while match := _TOKEN.match(query, position):
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "open":
            shown = match[0].decode(errors="replace")
            raise QueryError(SYNTAX_ERROR, f"A string, name or comment is not closed: it begins with {shown}")
        if position > _MAX_STATEMENT_BYTES:
            raise QueryError(SYNTAX_ERROR, "Max query size exceeded: a statement may have 256 KiB. (SYNTAX_ERROR)")
        if kind not in ("space", "other"):
            yield Token(kind, match[0].upper() if kind == "word" else match[0], position)


def _expect_end(rest: bytes) -> None:
    if any(token.key != b";" for token in _tokens(rest)):
        raise QueryError(SYNTAX_ERROR, "Multi-statements are not allowed: send one at a time. (SYNTAX_ERROR)")


def _names_table(before: list[Token]) -> bool:
    """Whether the word that follows is the name of a table."""
    return before[-1].key in (b"INTO", b"TABLE", b".")


def _insert(query: bytes, tokens: list[Token], *, clause: Token, data_format: str, start: int) -> Statement:
    """The insert up to its VALUES or FORMAT clause; data begin after blanks and one end of line, as in ClickHouse."""
    while query[start : start + 1] in (b" ", b"\t", b"\f"):
        start += 1
    for end_of_line in (b"\r", b"\n"):
        start += query[start : start + 1] == end_of_line
    return Statement(query[: clause.end - len(clause.key)], tuple(tokens), data_format, memoryview(query)[start:])


def _result_format(query: bytes, tokens: list[Token]) -> str | None:
    """The name after the last FORMAT, where nothing but settings can follow it."""
    for at in range(len(tokens) - 2, 0, -1):
        if tokens[at].key == b"FORMAT" and tokens[at + 1].kind == "word":
            if at + 2 < len(tokens) and tokens[at + 2].key != b"SETTINGS":
                return None
            return _written(query, tokens[at + 1])
    return None


def _written(query: bytes, word: Token) -> str:
    return query[word.end - len(word.key) : word.end].decode()
