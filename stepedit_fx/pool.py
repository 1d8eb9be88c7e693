"""Worker processes side by side, each doing one item at a time.

Unlike `concurrent.futures`, a worker that is killed costs its item only: another takes its place.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from stepedit_fx.errors import Cancelled, RenderError
from stepedit_fx.interrupts import kept_interrupts

SetupT = TypeVar("SetupT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

Cancel = Callable[[], bool]
# Called once in each worker with the setup; gives what does an item. Items, setup and results
# travel between processes; the factory must be importable by name.
Factory = Callable[[SetupT], Callable[[ItemT, Cancel], ResultT]]

POLL_S = 0.2  # how soon a cancelled() that nothing wakes is noticed
STOP_S = 5.0  # what a stopped worker gets to clean up before it is killed


@dataclass(frozen=True)
class WorkerLost:
    """What an item gets whose worker process died; exit_code is negative for a signal."""

    exit_code: int


@dataclass
class _Worker(Generic[ItemT]):
    process: BaseProcess
    connection: Connection
    item: int | None = None
    ready: bool = False


def spread(
    factory: Factory[SetupT, ItemT, ResultT],
    setup: SetupT,
    items: Sequence[ItemT],
    *,
    jobs: int,
    started: Callable[[int], None],
    cancelled: Cancel,
) -> Generator[tuple[int, ResultT | WorkerLost], None, None]:
    """Do every item; give (index, result) as they end, in any order.

    One job runs in this very process. Close the iterator (contextlib.closing) to stop early: the
    workers are gone when it returns. Raises Cancelled when cancelled() says so, RenderError when
    no worker is left and as many as there are jobs died before they got ready.
    """
    if jobs <= 1:
        yield from _in_this_process(factory, setup, items, started, cancelled)
        return
    waiting = deque(range(len(items)))
    workers: list[_Worker[ItemT]] = []
    stillborn = 0
    try:
        workers.extend(_start(factory, setup) for _ in range(min(jobs, len(items))))
        while workers:
            if cancelled():
                raise Cancelled("stopped on request")
            for connection in wait([w.connection for w in workers], timeout=POLL_S):
                worker = next(w for w in workers if w.connection is connection)
                done, result = _receive(worker)
                if isinstance(result, WorkerLost):
                    workers.remove(worker)
                    stillborn += not worker.ready
                    # Replaced, unless it looks as if none will ever get ready.
                    if (worker.ready or stillborn < jobs) and len(waiting) > len(workers):
                        workers.append(_start(factory, setup))
                    elif waiting and not workers:
                        raise _cannot_start(result)
                elif waiting:
                    worker.item = waiting.popleft()
                    worker.connection.send(items[worker.item])
                    started(worker.item)
                else:
                    workers.remove(worker)
                    _stop([worker])
                if done is not None:
                    yield done, result
    finally:
        _stop(workers)


def _in_this_process(
    factory: Factory[SetupT, ItemT, ResultT],
    setup: SetupT,
    items: Sequence[ItemT],
    started: Callable[[int], None],
    cancelled: Cancel,
) -> Iterator[tuple[int, ResultT]]:
    do = factory(setup)
    for index, item in enumerate(items):
        if cancelled():
            raise Cancelled("stopped on request")
        started(index)
        yield index, do(item, cancelled)


def _receive(worker: _Worker[ItemT]) -> tuple[int | None, Any]:
    """The item that ended (None: the worker only got ready) and its result."""
    done, worker.item = worker.item, None
    try:
        result = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        worker.connection.close()
        return done, WorkerLost(worker.process.exitcode or 0)
    worker.ready = True
    return done, result


def _cannot_start(lost: WorkerLost) -> RenderError:
    return RenderError(
        f"worker processes cannot start here (exit code {lost.exit_code})",
        remedy="Use one job. A script must call this under `if __name__ == '__main__':`.",
    )


def _start(factory: Factory[SetupT, ItemT, ResultT], setup: SetupT) -> _Worker[ItemT]:
    context = get_context("spawn")  # never forked: engines and audio libraries hold threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, factory, setup), daemon=True)
    with _interrupts_held():
        process.start()
    theirs.close()  # so that the worker's death reads as the end of the pipe
    return _Worker(process, ours)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C goes to every process of the terminal; a worker being born must not see it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # POSIX only

    # Its start lets interrupts through again, which must not happen in that of the first worker.
    resource_tracker.ensure_running()
    # SIGALRM: an interrupt that is raised again would tear a start in two.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(workers: Sequence[_Worker[ItemT]]) -> None:
    for worker in workers:
        worker.connection.close()  # an idle worker ends by this, a busy one is cancelled
        if worker.item is not None and os.name == "posix":
            worker.process.terminate()
    for worker in workers:
        worker.process.join(STOP_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()


def _serve(connection: Connection, factory: Factory[SetupT, ItemT, ResultT], setup: SetupT) -> None:
    """A worker's life: say "ready", then do items until the parent closes the pipe."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
        # As Ctrl-C is, so that half-written files are taken away on the way out.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with kept_interrupts():
            if hasattr(signal, "pthread_sigmask"):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGALRM})
            do = factory(setup)
            connection.send(None)
            while True:
                # Nothing arrives while an item is being done, except the end of the pipe.
                connection.send(do(connection.recv(), connection.poll))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent closed the pipe
    except (KeyboardInterrupt, Cancelled):
        os._exit(1)  # at once: a normal exit would wait for threads that cannot be stopped
