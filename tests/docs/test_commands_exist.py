"""Every command and option that a page names is one."""

import re
from pathlib import Path
from typing import Any

import pytest

from flows.cli import COMMANDS, _load
from flows.configuration import load
from tests.docs.pages import PAGES, blocks, commands


def commands_of(page: Path) -> list[list[str]]:
    return list(commands(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_are_there(page: Path) -> None:
    for words in commands_of(page):
        problem = wrong(words)
        assert not problem, f"streamgauge {' '.join(words)}: {problem}"


def test_every_command_is_on_some_page() -> None:
    named = {words[0] for page in PAGES for words in commands_of(page) if words}
    assert set(COMMANDS) <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configurations_load(page: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("swordfish")
    for number, text in enumerate(blocks(page.read_text(encoding="utf-8"), "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(re.sub(r'"/run/secrets/[^"]+"', f'"{secret}"', text), encoding="utf-8")
        load(file, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_and_links_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    root = PAGES[0].parent
    for path in re.findall(r"`((?:flows|operators|models|infra|tests|docs)/[\w/.-]*)`", text):
        assert "/secrets/" in path or (root / path).exists(), path  # secrets are the reader's
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (page.parent / link).exists(), link


def test_what_is_wrong_is_found() -> None:
    assert not wrong(["--config", "x.toml", "run", "sensors", "--processes", "2"])
    assert wrong(["fly"]) == "there is no such command"
    assert wrong(["db", "drop"]) == "there is no such command"
    assert wrong(["run", "sensors", "--wings"]) == "there is no option --wings"


def wrong(words: list[str]) -> str:
    """What the command line would say; empty for nothing."""
    found: Any = None
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--"):
            options = {"--config", "--version"} if found is None else _options(found)
            if option not in options | {"--help"}:
                return f"there is no option {option}"
        elif found is None and re.fullmatch(r"[a-z-]+", word) and not _is_value(words, word):
            if word not in COMMANDS:
                return "there is no such command"
            found = _load(word)
        elif hasattr(found, "commands") and re.fullmatch(r"[a-z-]+", word):
            if word not in found.commands:
                return "there is no such command"
            found = found.commands[word]
    return ""


def _is_value(words: list[str], word: str) -> bool:
    """Of --config."""
    place = words.index(word)
    return place > 0 and words[place - 1] in ("--config", "-c")


def _options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
