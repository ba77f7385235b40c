"""What the endpoint refuses: statements that destroy the database or reach outside it.

chDB runs inside our process with our rights: it reads and writes any file, fetches any address, starts programs, and
some statements end the process or ruin the store (a table with ENGINE=Kafka made one unusable). None of this is needed
for streamgauge's tables, so it is refused, by name, before chDB sees it: table functions, table and database engines
are on lists of what is allowed, so that what a later chDB adds is refused until somebody looks at it. This keeps
accidents and stray local programs out; it is not a wall between users who share a machine.
"""

from collections.abc import Collection

from infra.embedded.errors import ACCESS_DENIED, QueryError
from infra.embedded.statement import Statement, Token

_INSIDE_FUNCTIONS = (
    "dictionary format generate_series generaterandom generateseries input loop merge mergetreeanalyzeindexes "
    "mergetreeindex mergetreeprojection null numbers numbers_mt primes values view viewexplain viewifpermitted "
    "zeros zeros_mt"
)
_OUTSIDE_FUNCTIONS = "catboostevaluate executable file http mongo python redis url"
_ENGINES = (
    "ATOMIC BUFFER DICTIONARY GENERATERANDOM JOIN LOG MATERIALIZEDVIEW MEMORY MERGE NULL SET STRIPELOG TINYLOG VIEW"
)
_DDL = (b"CREATE", b"ATTACH", b"REPLACE")
_BEFORE_A_TABLE = (b"INTO", b"TABLE", b"EXISTS", b".")


class Guard:
    """Refuses by looking at a statement's words.

    table_functions: all the engine has; those not known to stay inside the database are refused.
    """

    def __init__(self, table_functions: Collection[str]) -> None:
        known = {name.lower() for name in table_functions}
        self._refused = known - set(_INSIDE_FUNCTIONS.split()) | set(_OUTSIDE_FUNCTIONS.split())

    def check(self, statement: Statement) -> None:
        """Raises QueryError (ACCESS_DENIED) with what is refused and why."""
        tokens = statement.tokens
        if statement.verb in (b"BACKUP", b"RESTORE"):
            raise _refusal(f"{statement.verb.decode()} writes or reads outside the data directory")
        for before, token, after in zip((None, *tokens), tokens, (*tokens[1:], None), strict=False):
            if after is not None and after.key == b"(":
                self._check_function(before, token)
            if before is not None and token.kind == "word":
                _check_words(statement.verb, before, token)
        if statement.verb in _DDL:
            _check_engines(tokens)

    def _check_function(self, before: Token | None, token: Token) -> None:
        if token.kind not in ("word", "quoted", "substitution") or (before and before.key in _BEFORE_A_TABLE):
            return
        name = token.key.decode(errors="replace").strip('`"“”').lower()
        if name in self._refused:
            raise _refusal(f"{name}() reaches outside the database")
        if token.kind == "substitution" or "\\" in name:
            raise _refusal(f"the function name {name} is not written plainly")


def _check_words(verb: bytes, before: Token, token: Token) -> None:
    match before.key, token.key:
        case (b"INTO", b"OUTFILE") | (b"FROM", b"INFILE"):
            raise _refusal(f"{token.key.decode()} names a file of this machine; send or fetch the rows over HTTP")
        case b"SYSTEM", b"SHUTDOWN" | b"KILL" | b"SUSPEND" if verb == b"SYSTEM":
            raise _refusal("it would end the process; stop it with SIGTERM")


def _check_engines(tokens: tuple[Token, ...]) -> None:
    """The names after ENGINE and, of dictionaries, SOURCE, up to the SELECT of a view; and ATTACH ... FROM 'path'."""
    keys = [token.key for token in tokens]
    depth = 0
    for at, key in enumerate(keys[:-1]):
        depth += {b"(": 1, b")": -1}.get(key, 0)
        if key == b"SELECT" and depth == 0:
            return
        if keys[0] == b"ATTACH" and key == b"FROM":
            raise _refusal("ATTACH ... FROM would move a directory into the database")
        following = next((key for key in keys[at + 1 : at + 3] if key not in (b"=", b"(")), b"")
        name = following.strip(b'`"').upper().decode(errors="replace")
        if key == b"ENGINE" and not (name in _ENGINES.split() or _is_local_merge_tree(name)):
            raise _refusal(f"ENGINE = {name}: only MergeTree tables and their like are kept here")
        if key == b"SOURCE" and keys[at + 1] == b"(" and name not in ("CLICKHOUSE", "NULL"):
            raise _refusal(f"SOURCE({name}): a dictionary can only be made of a table, SOURCE(CLICKHOUSE(TABLE '...'))")


def _is_local_merge_tree(name: str) -> bool:
    return name.endswith("MERGETREE") and not name.startswith(("REPLICATED", "SHARED"))


def _refusal(why: str) -> QueryError:
    return QueryError(
        ACCESS_DENIED,
        f"Refused by the embedded endpoint: {why}. Use a ClickHouse server where that is needed. (ACCESS_DENIED)",
    )
