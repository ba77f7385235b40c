"""What `streamgauge check` says: a line per thing looked at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from flows.commands.common import is_peoples_error


class Findings:
    """Prints a line per thing looked at."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self.wrong = 0

    @contextmanager
    def looking_at(self, what: str) -> Iterator[Callable[[str], None]]:
        """Yields what to call with a short word of praise; an error of a known kind is the finding."""
        praise = ""

        def say(text: str) -> None:
            nonlocal praise
            praise = text

        try:
            yield say
        except Exception as error:
            if not is_peoples_error(error):
                raise
            self.wrong += 1
            self._console.print(f"[red]wrong[/] {what}: {escape(str(error))}", soft_wrap=True)
        else:
            self._console.print(f"[green]ok[/]    {what}{': ' if praise else ''}{escape(praise)}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something to look at that does not stop a flow."""
        self._console.print(f"[yellow]look[/]  {escape(text)}", soft_wrap=True)
