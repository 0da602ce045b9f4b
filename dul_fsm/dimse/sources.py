"""Where the data set of an outgoing message comes from, a fragment at a time.

Rules
  * A source is pulled: it makes no more bytes than the next fragment needs, so that what waits to
    be sent is never in memory as a whole unless the caller put it there.
  * Fragments are even, as PS3.8 Annex E.1 wants them, but for the last one of a data set that is
    itself odd. Only an empty data set gives an empty fragment.
  * What a user's iterable or file raises goes through to whoever sends.

Not here: headers, contexts and commands (`messages`); files of PS3.10 and data sets (`files`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    # Anything with the buffer protocol: bytes, bytearray, memoryview, mmap, array, ndarray.
    from typing_extensions import Buffer as BytesLike

Buffer: TypeAlias = bytes | bytearray | memoryview
"""A fragment to be sent."""

READ_SIZE = 65536
"""Bytes asked of a file at once whose length is not known: a few system calls per MiB."""


class Source(Protocol):
    """A data set on its way out.

    It may have one more method, `in_place`, without parameters: called before the first fragment if
    the transport looks at no byte of what it sends, but lets the operating system take it from
    where it lies. A file may be mapped then.
    """

    def next(self, limit: int) -> tuple[Buffer, bool]:
        """The next fragment, and whether it is the last.

        `limit`: most bytes in it; even, at least 2. The fragment must not change until it has
        left. Not to be called again after the last fragment.
        """
        ...


class Readable(Protocol):
    """A binary file."""

    def read(self, size: int, /) -> bytes | None:
        """Up to `size` bytes, at least one unless the file is at its end."""
        ...


def lay_in_place(data: object) -> None:
    """Tell a source, if it wants to know, that only the operating system looks at what it gives."""
    tell = getattr(data, "in_place", None)
    if tell is not None:
        tell()


def _view(chunk: BytesLike) -> memoryview:
    """The bytes of an object as they lie in memory; raises `TypeError` if it has none."""
    return memoryview(chunk).cast("B")


class BytesSource:
    """A data set that is in memory: its fragments are slices of it, and nothing is copied."""

    __slots__ = ("_rest",)

    def __init__(self, buffer: BytesLike) -> None:
        self._rest = _view(buffer)

    def next(self, limit: int) -> tuple[memoryview, bool]:
        """See `Source.next`."""
        rest = self._rest
        if len(rest) <= limit:
            return rest, True
        self._rest = rest[limit:]
        return rest[:limit], False


class IterableSource:
    """A data set that comes in chunks of any size, empty ones too, and is cut anew.

    A chunk is the source's own once it was taken: the next one is taken while this one may still
    wait to be sent. An iterable must not write over what it gave. Fragments inside a chunk are
    slices of it; fragments that join chunks are copies.
    """

    __slots__ = ("_chunk", "_chunks", "_started")

    def __init__(self, chunks: Iterable[BytesLike]) -> None:
        self._chunks: Iterator[BytesLike] = iter(chunks)
        self._chunk: memoryview | None = None
        """What is left of the chunk that was taken; None before the first and after the last."""
        self._started = False

    def next(self, limit: int) -> tuple[Buffer, bool]:
        """See `Source.next`."""
        if not self._started:
            self._started = True
            self._chunk = self._take()
        chunk = self._chunk
        if chunk is None:
            return b"", True
        if len(chunk) > limit:
            self._chunk = chunk[limit:]
            return chunk[:limit], False
        # The chunk is used up, so whether this fragment is the last only the next chunk can tell.
        following = self._take()
        if following is None or len(chunk) == limit:
            self._chunk = following
            return chunk, following is None
        joined = bytearray(chunk)
        while following is not None and (room := limit - len(joined)):
            joined += following[:room]
            following = following[room:] if len(following) > room else self._take()
        self._chunk = following
        return joined, following is None

    def _take(self) -> memoryview | None:
        """The next chunk that is not empty; None if there is none."""
        for chunk in self._chunks:
            view = _view(chunk)
            if len(view):
                return view
        return None


class FileSource:
    """A data set of known length in a binary file, from where the file stands."""

    __slots__ = ("_file", "_left")

    def __init__(self, file: Readable, length: int) -> None:
        """`length`: bytes, 0 or more. Nothing is read yet."""
        if length < 0:
            raise ValueError(f"length {length} is negative")
        self._file = file
        self._left = length

    def next(self, limit: int) -> tuple[memoryview, bool]:
        """See `Source.next`. Raises `EOFError` if the file ends early."""
        size = min(limit, self._left)
        fragment = self._read(size)
        if len(fragment) < size:
            # A raw file, a pipe or a socket may give less than was asked for.
            joined = bytearray(fragment)
            while len(joined) < size:
                more = self._read(size - len(joined))
                if not len(more):
                    raise EOFError(f"the file ended {self._left - len(joined)} bytes early")
                joined += more
            fragment = memoryview(joined)
        self._left -= size
        return fragment, not self._left

    def _read(self, size: int) -> memoryview:
        return _view((self._file.read(size) or b"") if size else b"")


def _file_source(file: Readable) -> Source:
    try:
        start = file.tell()  # type: ignore[attr-defined]
        end = file.seek(0, 2)  # type: ignore[attr-defined]
        file.seek(start)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        # A pipe, a socket: it ends where it ends.
        return IterableSource(iter(lambda: file.read(READ_SIZE) or b"", b""))
    return FileSource(file, max(end - start, 0))


SourceLike: TypeAlias = "Source | BytesLike | Readable | Iterable[BytesLike]"
"""What `as_source` takes."""


def as_source(data: SourceLike) -> Source:
    """A source for what a caller may have.

    A source stays as it is. Bytes, a memoryview, an mmap and all else with the buffer protocol
    are sent from where they lie. A binary file is read from where it stands to its end. An
    iterable gives chunks. Raises `TypeError` for anything else, `str` among it.
    """
    # By their methods: `isinstance` of a protocol takes longer than cutting a data set does.
    if callable(getattr(data, "next", None)):
        return cast(Source, data)
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        pass
    else:
        return BytesSource(view)
    # An mmap is both, and better off as bytes.
    if callable(getattr(data, "read", None)):
        return _file_source(cast(Readable, data))
    if isinstance(data, Iterable) and not isinstance(data, str):
        return IterableSource(data)
    raise TypeError(f"a data set cannot come from {type(data).__name__}")
