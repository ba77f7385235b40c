"""Every good input, and every one that a fuzzer once found worth keeping, through its target; needs no fuzzer."""

import pytest

from tests.fuzz.guided import CORPUS
from tests.fuzz.targets import INSTRUMENTED, load


@pytest.mark.parametrize("name", INSTRUMENTED)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_what_was_found_before_holds(name: str) -> None:
    target = load(name)
    ends = {target.check(seed) for seed in target.seeds}
    assert not all(end.startswith("refused") for end in ends), "no seed is good"
    for path in sorted((CORPUS / name).iterdir()):
        try:
            target.check(path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path.name} of {name} fails: {error}") from error


def test_the_corpus_is_of_known_targets_and_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(INSTRUMENTED)
    assert sum(path.stat().st_size for path in files) < 400_000
