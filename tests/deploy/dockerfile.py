"""Reads a Dockerfile: its stages, instruction by instruction, with the values of ARG and ENV filled in."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.deploy import requirements

FILE = Path(requirements.__file__).parent / "Dockerfile"
ROOT = FILE.parents[2]
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Step:
    """A COPY, RUN or other instruction. environment: ARG and ENV as they are when it is carried out."""

    instruction: str
    text: str
    workdir: str
    environment: Mapping[str, str]

    @property
    def words(self) -> list[str]:
        """As in a shell, or of the JSON form."""
        found: list[str] = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return found


@dataclass
class Stage:
    """From one FROM to the next. environment: what is left of ENV alone, for who runs the image."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"

    def last(self, instruction: str) -> Step:
        """The one that counts."""
        return next(step for step in reversed(self.steps) if step.instruction == instruction)


def stages(arguments: Mapping[str, str], file: Path = FILE) -> list[Stage]:
    """The stages of a Dockerfile. arguments: --build-arg."""
    found: list[Stage] = []
    everywhere: dict[str, str] = {}
    values: dict[str, str] = {}
    for instruction, text in _instructions(file):
        if instruction == "ARG":
            name, _, default = text.partition("=")
            given = arguments.get(name, everywhere.get(name, _filled(default.strip('"'), values)))
            (values if found else everywhere)[name] = given
        elif instruction == "FROM":
            base, *named = _filled(text, everywhere).split()
            found.append(Stage(named[-1] if named else "", base))
            values = {}
        else:
            stage = found[-1]
            text = text if instruction == "RUN" else _filled(text, values)
            if instruction == "ENV":
                pairs = dict(word.split("=", 1) for word in shlex.split(text))
                stage.environment |= pairs
                values |= pairs
            if instruction == "WORKDIR":
                stage.workdir = text
            stage.steps.append(Step(instruction, text, stage.workdir, dict(values)))
    return found


def _instructions(file: Path) -> list[tuple[str, str]]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    parts = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(instruction.upper(), re.sub(r"\s+", " ", rest.strip())) for instruction, rest in parts]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def ignored(path: str, file: Path = ROOT / ".dockerignore") -> bool:
    """Whether a path of the repository is kept from the build; of patterns those this repository uses."""
    verdict = False
    for line in file.read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keeps = pattern.startswith("!")
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.match(rf"{expression}(?:/|$)", path):
            verdict = not keeps
    return verdict
