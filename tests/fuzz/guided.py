"""`make fuzz ARGS="--guided TARGET"`: a fuzzer that keeps what reaches a branch nothing reached before (Atheris).

What makes a target fail stays in tests/fuzz/corpus/TARGET as crash-..., where `make test` finds it until it is mended.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random

from tests.fuzz.mutate import damage
from tests.fuzz.targets import INSTRUMENTED, load

CORPUS = Path(__file__).parent / "corpus"
PACKAGES = ("flows", "infra", "models", "operators")
_MAX_BYTES = 8_192
_CASE_S = 10
_RSS_MB = 3_000


def run(name: str, *, seconds: int, keep: bool) -> int:
    """Fuzz in a process of its own, which ends with the first failure; returns its exit code.

    keep: put what was found, as far as it reaches more than the corpus does, into the corpus.
    """
    if find_spec("atheris") is None:
        print(
            "--guided needs Atheris, which exists for Python 3.11 only: make fuzz PYTHON=python3.11 VENV=.venv311 ..."
        )
        return 2
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as found:
        for number, seed in enumerate(load(name).seeds):
            Path(found, f"seed-{number}").write_bytes(seed)
        limits = [f"-max_len={_MAX_BYTES}", f"-timeout={_CASE_S}", f"-rss_limit_mb={_RSS_MB}"]
        code = _fuzzer(name, f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/", *limits, found, str(corpus))
        if keep and not code:
            code = _fuzzer(name, "-merge=1", "-use_counters=0", *limits, str(corpus), found)
    return code


def _fuzzer(name: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "tests.fuzz.guided", name, *arguments], check=False).returncode


def _others(wanted: Sequence[str]) -> list[str]:
    """All other modules of the project: Atheris takes whole packages, also what numba must compile."""
    root = CORPUS.parents[2]
    paths = [path.relative_to(root) for package in PACKAGES for path in (root / package).rglob("*.py")]
    return [name for path in paths if (name := ".".join(path.with_suffix("").parts)) not in wanted]


def _fuzz(name: str, arguments: Sequence[str]) -> None:
    """In this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED[name]), exclude=_others(INSTRUMENTED[name])):
        check, seeds, tokens = load(name)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        """Half of the time by libFuzzer, which learns from comparisons, half with tokens and pieces of good inputs."""
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        rng, payload = Random(seed), bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            damage(rng, payload, seeds, tokens)
        return bytes(payload[:most])

    for seed in seeds:  # numba compiles, pyarrow starts its threads
        check(seed)
    # libFuzzer ends the process from within Python's lock, for which those threads would wait; so the first thing done
    # at its end is to end at once.
    libc = ctypes.CDLL(None)
    libc.__cxa_atexit(libc._exit, None, None)
    # With -merge libFuzzer starts itself again, by what the shell makes of the first argument.
    command = f"{sys.executable} -m tests.fuzz.guided {name}"
    atheris.Setup([command, *arguments], check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description="Arguments of libFuzzer follow.")
    parser.add_argument("target", choices=INSTRUMENTED)
    options, rest = parser.parse_known_args()
    _fuzz(options.target, rest)
