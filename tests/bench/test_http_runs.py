"""The benchmark of HTTP runs, small."""

from io import StringIO

from rich.console import Console

from tests.bench import http


def test_it_measures_and_finds_everything_in_kafka() -> None:
    said = StringIO()
    assert http.run(requests={"ndjson": 5, "single": 50}, repeat=1, console=Console(file=said, width=200))
    assert said.getvalue().count("100.00%") == 2
    assert "on one core" in said.getvalue()
