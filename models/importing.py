"""What a configuration names by import path: finding it, with errors for people."""

import importlib
from difflib import get_close_matches


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
        raise KindError(f"{path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    try:
        return getattr(module, name)
    except AttributeError:
        close = get_close_matches(name, [public for public in dir(module) if not public.startswith("_")], n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise KindError(f"{path}: module {module_name} has no {name!r}{hint}") from None
