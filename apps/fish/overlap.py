"""Doing two things at once: the next items are made while the caller is busy with this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
_PATIENCE: Final = 0.1
"""Seconds after which a thread that has no room looks whether anybody still wants its items."""


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


class _Maker(Generic[Item]):
    """Makes items in a thread of its own until they end, fail, or are not wanted any more."""

    def __init__(self, items: Iterable[Item], room: int) -> None:
        self.items = items
        self.made: queue.Queue[Item | _End] = queue.Queue(room)
        self.unwanted = threading.Event()

    def run(self) -> None:
        end = _End()
        try:
            for item in self.items:
                if not self._put(item):
                    break
        except BaseException as error:  # it is the caller's: raised where the items are taken
            end = _End(error)
        finally:
            close = getattr(self.items, "close", None)
            if close is not None:
                close()
            self._put(end)

    def _put(self, item: Item | _End) -> bool:
        while not self.unwanted.is_set():
            try:
                self.made.put(item, timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False


def ahead(items: Iterable[Item], room: int) -> Generator[Item, None, None]:
    """The same items in the same order, made in another thread, at most `room` of them in waiting.

    An error of the items is raised where they are taken. Closing the generator ends the thread.
    """
    maker = _Maker(items, room)
    thread = threading.Thread(target=maker.run, daemon=True)
    thread.start()
    try:
        while not isinstance(item := maker.made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        maker.unwanted.set()
        thread.join()
