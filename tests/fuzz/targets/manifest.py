"""A model's manifest: read, and the same when written and read again; or one line that says what is wrong."""

from models.manifest import SHIPPED, ManifestError, as_toml, read_manifest
from tests.fuzz.files import judge, written

SEEDS = [SHIPPED.read_bytes()]
TOKENS = (
    *(
        b'name = "a"\n',
        b"[[features]]\n",
        b"[thresholds]\n",
        b" = nan\n",
        b" = inf\n",
        b" = -0.0\n",
        b"1979-05-27",
        b'"""',
    ),
    *(
        b"\\u0000",
        b"\\u007f",
        b"\\\\",
        b"\\ud800",
        b"'''",
        b"\xc2\x85",
        b"\xff",
        b"9" * 400,
        b"[" * 2_000,
        b"{a=" * 300,
    ),
)


def check(data: bytes) -> str:
    """AssertionError when a mistake is not one line, or writing loses something."""
    file = written(data, ".toml")
    try:
        manifest = read_manifest(file)
    except ManifestError as error:
        judge(error, file)
        return "refused"
    again = read_manifest(written(as_toml(manifest).encode(), ".again.toml"))
    assert repr(again) == repr(manifest), "written otherwise than read"
    return "read"
