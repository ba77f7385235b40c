"""What a configuration names by import path: finding it and building it, with errors for people."""

import copy
import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


class KindError(ValueError):
    """A configured import path, or its parameters, cannot be used; one line says why and what to do."""


def load_object(path: str, *, what: str) -> object:
    """The object at "package.module.Name". `what` says in errors what was expected. Raises KindError."""
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        raise KindError(
            f"{path!r} is not an import path: write the module and the name of {what}, 'package.module.Name'"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise KindError(f"{path}: no module {error.name!r}; is it installed, or is the path misspelt?") from None
    except Exception as error:  # what a user's own module raises can be anything
        raise KindError(f"{path}: importing {module_name} failed: {told(error)}") from error
    try:
        return getattr(module, name)
    except AttributeError:
        close = get_close_matches(name, [public for public in dir(module) if not public.startswith("_")], n=3)
        raise KindError(f"{path}: module {module_name} has no {name!r}{_did_you_mean(close)}") from None


def load_class(path: str, *, what: str) -> type:
    """The class at "package.module.Name". Raises KindError."""
    found = load_object(path, what=what)
    if not isinstance(found, type):
        raise KindError(f"{path} is a {type(found).__name__}, not {what}")
    return found


def construct(
    kind: type,
    params: Mapping[str, Any],
    *,
    path: str,
    provided: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """An instance of the class at `path`. Raises KindError for a parameter unknown, missing or refused.

    params: keyword arguments from a configuration. {"kind": path, "params": {...}} stands for an object, also within a
        list; a list under the name of the class's *args is spread.
    provided: further keyword arguments, which the configuration cannot give.
    defaults: arguments for those parameters of the class, at any depth, that the configuration leaves out.
    """
    accepted = dict(inspect.signature(kind).parameters)
    for name in provided or {}:
        accepted.pop(name, None)
    _check_names(params, accepted, path)
    values = {name: _built(value, defaults, f"{path}: {name}") for name, value in params.items()}
    values = {name: value for name, value in (defaults or {}).items() if name in accepted} | values
    spread = [name for name, parameter in accepted.items() if parameter.kind is parameter.VAR_POSITIONAL]
    positional = [item for name in spread for item in values.pop(name, ())]
    try:
        return kind(*positional, **(provided or {}), **values)
    except Exception as error:
        raise KindError(f"{path}: {told(error)}") from error


def _built(value: Any, defaults: Mapping[str, Any] | None, where: str) -> Any:
    if isinstance(value, list | tuple):
        return [_built(item, defaults, where) for item in value]
    if isinstance(value, dict) and "kind" in value and value.keys() <= {"kind", "params"}:
        found = load_class(value["kind"], what="a class")
        return construct(found, value.get("params", {}), path=f"{where} = {value['kind']}", defaults=defaults)
    return copy.deepcopy(value)  # no two instances may share what one of them could change


def _check_names(params: Mapping[str, Any], accepted: Mapping[str, inspect.Parameter], path: str) -> None:
    names = [name for name, parameter in accepted.items() if parameter.kind is not parameter.VAR_KEYWORD]
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    if len(names) == len(accepted):  # else it takes any name, and says itself what it refuses
        for name in params:
            if name not in names:
                close = _did_you_mean(get_close_matches(name, names, n=1))
                raise KindError(f"{path}: no parameter {name!r}; {takes}{close}")
    for name, parameter in accepted.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and name not in params:
            raise KindError(f"{path}: needs the parameter {name!r}; {takes}")


def _did_you_mean(names: list[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""


def told(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")
