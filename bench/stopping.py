"""Stopping politely: SIGTERM and Ctrl-C become a request, which whoever works honours when nothing would be lost."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Work ended early because somebody asked it to, in all its processes; what was done is saved."""


class StopRequest:
    """Turns SIGTERM and the first Ctrl-C into a request. A context manager.

    A second Ctrl-C interrupts at once. A second SIGTERM does not: launchers send several, and work that was asked to
    stop may be saving.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread: nobody sends signals here
                break
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def ignore_stop_signals(_worker: int) -> None:
    """For a process that decodes (``worker_init_fn``): it ends when its parent does, which still needs its data.

    torchrun, Slurm, ``timeout`` and a terminal send their signals to the parent and to its workers alike.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
