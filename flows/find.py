"""Finding a flow by name: one file with `build(settings, ports) -> Dataflow`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from bytewax.dataflow import Dataflow

from flows.ports import Ports
from flows.settings import Settings, SettingsError

Build = Callable[[Settings, Ports], Dataflow]


def find(name: str) -> Build:
    """The `build` of flows/NAME.py, or of a file given by its path. Raises SettingsError."""
    module = _from_file(Path(name)) if name.endswith(".py") else _from_package(name)
    build = getattr(module, "build", None)
    if not callable(build):
        raise SettingsError(f"flow {name!r}: the file has no function build(settings, ports)")
    found: Build = build
    return found


def _from_package(name: str) -> ModuleType:
    if not name.isidentifier():
        raise SettingsError(
            f"flow {name!r}: not a name; `run sensors` runs flows/sensors.py, `run my/flow.py` that file"
        )
    try:
        return importlib.import_module(f"flows.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"flows.{name}":
            raise
        raise SettingsError(f"flow {name!r}: there is no file flows/{name}.py") from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SettingsError(f"flow {str(path)!r}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
