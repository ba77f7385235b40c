"""The helper process that fits isolation forests, one per worker process and shared by all its detectors.

It alone imports scikit-learn (130 MB, 1 s), and is started at the first fit. It ends with the worker, also one that
is killed: it then reads the end of its pipe. It leaves Ctrl-C and SIGTERM to the worker, which may need a fit while it
drains. Nothing here imports numpy, so that the helper can limit its threads before it does.
"""

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

NAME = "forest-fit"
PATIENCE_S = 120
"""A fit takes some 30 ms; a helper that has not answered after so long is stuck, and is replaced."""
_ATTEMPTS = 2
_NICENESS = 5

Request = tuple[Any, ...]
"""Arguments of models.forest_fit.fit."""


class FitProcess:
    """Fits one forest after the other in another process, in the order they were asked for.

    A thread of its own talks to it, so that nobody who asks is held up by a full pipe. A helper that dies is started
    anew and given the same fit again, once.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[tuple[Request, Future[Any]]] = SimpleQueue()
        self._lock = Lock()
        self._helper: tuple[SpawnProcess, Connection] | None = None
        self._closed = False
        atexit.register(self.close)
        Thread(target=self._work, name=NAME, daemon=True).start()

    def submit(self, request: Request) -> Future[Any]:
        """What fit(*request) will return; raises RuntimeError when it failed, or the helper died twice over it."""
        future: Future[Any] = Future()
        self._requests.put((request, future))
        return future

    def close(self) -> None:
        """End the helper; it has nothing to lose."""
        with self._lock:
            self._closed = True
        self._end()

    def _work(self) -> None:
        while True:
            request, future = self._requests.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._ask(request))
                except Exception as error:  # raised again by whoever waits for the fit
                    future.set_exception(error)

    def _ask(self, request: Request) -> Any:
        code: int | None = None
        for _ in range(_ATTEMPTS):
            connection = self._connected()
            try:
                connection.send(request)
                if not connection.poll(PATIENCE_S):
                    raise TimeoutError
                fitted, answer = connection.recv()
            except (EOFError, OSError):
                code = self._end()
                continue
            if not fitted:
                raise RuntimeError(f"fitting an isolation forest failed: {answer}")
            return answer
        raise RuntimeError(
            f"the helper process that fits isolation forests ended {_ATTEMPTS} times over one fit, last with exit code "
            f"{code}; is memory short, or does `import sklearn` fail?"
        )

    def _connected(self) -> Connection:
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker is ending: no more forests are fitted")
            if self._helper is None:
                context = multiprocessing.get_context("spawn")
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs,), name=NAME, daemon=True)
                with _main_module_unknown():
                    process.start()
                theirs.close()  # else the end of the helper would not end the pipe
                self._helper = (process, ours)
            return self._helper[1]

    def _end(self) -> int | None:
        """Make sure that the helper is gone. Its exit code."""
        with self._lock:
            if self._helper is None:
                return None
            (process, connection), self._helper = self._helper, None
            process.kill()
            process.join()
            connection.close()
            return process.exitcode


@contextmanager
def _main_module_unknown() -> Iterator[None]:
    """While a process is spawned: it is not to import the worker's main module, which it has no use for.

    That would cost memory, and would run a main module that has no `if __name__ == "__main__"` a second time.
    """
    main = sys.modules["__main__"]
    names = vars(main)
    hidden: dict[str, Any] = {name: names.pop(name) for name in ("__file__", "__spec__") if name in names}
    main.__spec__ = None
    try:
        yield
    finally:
        names.update(hidden)


def _serve(connection: Connection) -> None:
    """The helper process: fits what it is sent, until the worker is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    with suppress(OSError):
        os.nice(_NICENESS)
    sys.meta_path.insert(0, _Without())
    with suppress(EOFError, OSError):  # the worker is gone
        while True:
            connection.send(_answer(connection.recv()))


class _Without:
    """What scikit-learn would import because it is there, and a fit does not use: 60 MB, and most of the time."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("pandas", "pyarrow"):
            raise ModuleNotFoundError(name, name=name)


def _answer(request: Request) -> tuple[bool, Any]:
    """Whether it was fitted; the result, or what went wrong."""
    try:
        from models.forest_fit import fit

        return True, fit(*request)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


_shared: FitProcess | None = None
_shared_lock = Lock()


def shared() -> FitProcess:
    """The worker's one."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = FitProcess()
        return _shared
