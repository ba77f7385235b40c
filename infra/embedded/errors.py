"""Errors as ClickHouse tells them: a code, a sentence, an HTTP status."""

import re

SYNTAX_ERROR = 62
NOT_IMPLEMENTED = 48
ACCESS_DENIED = 497
TOO_LARGE = 307  # TOO_MANY_BYTES
TOO_MANY_QUERIES = 202
TIMEOUT_EXCEEDED = 159
CANNOT_DECOMPRESS = 271
BAD_ARGUMENTS = 36
STD_EXCEPTION = 1001

# As ClickHouse's exceptionCodeToHTTPStatus; every other code is 500. A client retries 429, 503 and 504 only.
_STATUS_OF_CODES = {
    400: (6, 25, 26, 27, 32, 36, 38, 41, 43, 53, 62, 69, 72, 117, 130, 167, 168, 271, 321, 386, 456, 457),
    403: (ACCESS_DENIED,),
    404: (16, 46, 47, 50, 56, 60, 63, 73, 81, 115, 336),
    408: (TIMEOUT_EXCEEDED,),
    413: (TOO_LARGE,),
    501: (NOT_IMPLEMENTED,),
    503: (TOO_MANY_QUERIES,),
}
_STATUS = {code: status for status, codes in _STATUS_OF_CODES.items() for code in codes}


class QueryError(Exception):
    """A query that failed or was refused: `code` is ClickHouse's number, `text` the whole "Code: ..." line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text if text.startswith("Code: ") else f"Code: {code}. DB::Exception: {text}"

    @classmethod
    def from_engine(cls, message: str) -> "QueryError":
        """What chDB said, without what it put before the code."""
        found = re.search(r"Code: (\d+)", message)
        return cls(int(found[1]), message[found.start() :].strip()) if found else cls(STD_EXCEPTION, message.strip())

    @property
    def status(self) -> int:
        """The HTTP status ClickHouse answers with."""
        return _STATUS.get(self.code, 500)
