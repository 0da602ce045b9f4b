"""Bytes received and not yet judged: one buffer, reused, grown only by what really arrives.

Not here: what the bytes mean (`provider`).
"""

from __future__ import annotations

FIRST_CAPACITY = 4096
"""Enough for an association request of a modality; an idle association costs no more than this."""


class Inbox:
    """A window [start, end) of received bytes in a buffer that the transport writes into.

    The buffer grows only after a read that filled it, to eight times its size at most, so what is
    retained stays in proportion to what was received, whatever length a PDU header announces.
    """

    __slots__ = ("_limit", "_view", "buffer", "end", "start")

    def __init__(self, limit: int) -> None:
        """`limit`: the capacity in bytes beyond which the buffer grows only if it has to."""
        self._limit = max(limit, FIRST_CAPACITY)
        self.buffer = bytearray(FIRST_CAPACITY)
        """To read from, between `start` and `end`; another one after the buffer has grown."""
        self._view = memoryview(self.buffer)
        self.start = 0
        self.end = 0

    def clear(self) -> None:
        """Forget everything, the buffer's growth included."""
        self.start = self.end = 0
        if len(self.buffer) != FIRST_CAPACITY:
            self.buffer = bytearray(FIRST_CAPACITY)
            self._view = memoryview(self.buffer)

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def capacity(self) -> int:
        """Bytes allocated."""
        return len(self.buffer)

    def view(self, start: int, end: int) -> memoryview:
        """The bytes [start, end) counted from the first unread one; valid until `writable`."""
        return self._view[self.start + start : self.start + end]

    def skip(self, count: int) -> None:
        """Take `count` bytes away."""
        self.start += count

    def writable(self, needed: int) -> memoryview:
        """Where the next bytes go: never empty. Views given out before are invalid from here on.

        `needed`: the length of the PDU that begins at the first unread byte, 0 if unknown.
        """
        capacity = len(self.buffer)
        if self.start == self.end:
            self.start = self.end = 0
        elif self.start and (self.end == capacity or self.start + needed > capacity):
            # The PDU under way does not fit behind what was read before it.
            length = self.end - self.start
            self._view[:length] = self._view[self.start : self.end]
            self.start, self.end = 0, length
        if self.end == capacity:
            self._grow(max(self._limit, needed))
        return self._view[self.end :]

    def _grow(self, limit: int) -> None:
        # A new buffer, not a resized one: fragments that a user still holds keep the old one alive.
        # Beyond the limit, for bytes that nobody takes out, it doubles too: work stays linear.
        # A new page costs more than to write to it, so there are few steps on the way up.
        size = len(self.buffer)
        if limit <= size:
            grown = bytearray(2 * size)
        else:
            grown = bytearray(limit if limit <= 8 * size else 4 * size)
        view = memoryview(grown)
        view[: self.end] = self._view[: self.end]
        self.buffer, self._view = grown, view

    def filled(self, count: int) -> None:
        """`count` bytes were written into what `writable` gave."""
        self.end += count
        if self.end == len(self.buffer) < self._limit and self.start == 0:
            # The transport had at least as much as fits: make the next read larger.
            self._grow(self._limit)
