"""Sources: every size and limit, any chunking, no copies."""

from __future__ import annotations

import array
import io
import itertools
import mmap
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from dul_fsm.dimse.sources import (
    READ_SIZE,
    Buffer,
    BytesSource,
    FileSource,
    IterableSource,
    Source,
    as_source,
)

SIZES = range(36)
LIMITS = range(2, 40, 2)


def data_of(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


def pull(source: Source, limit: int) -> list[Buffer]:
    """All fragments of a source."""
    fragments = []
    while True:
        fragment, is_last = source.next(limit)
        fragments.append(fragment)
        if is_last:
            return fragments


def expected(data: bytes, limit: int) -> list[bytes]:
    """Full fragments and a rest, or one that is empty."""
    return [data[i : i + limit] for i in range(0, len(data), limit)] or [b""]


def chunks_of(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


class Trickle(io.RawIOBase):
    """A file without a position that gives at most `most` bytes at once."""

    def __init__(self, data: bytes, most: int) -> None:
        self.data = data
        self.most = most
        self.asked: list[int] = []

    def read(self, size: int = -1, /) -> bytes:
        self.asked.append(size)
        taken, self.data = self.data[: min(size, self.most)], self.data[min(size, self.most) :]
        return taken


@pytest.mark.parametrize("size", SIZES)
def test_every_source_cuts_every_size_at_every_limit_into_full_fragments(size: int) -> None:
    data = data_of(size)
    for limit in LIMITS:
        sources: list[Source] = [
            BytesSource(data),
            FileSource(io.BytesIO(data), size),
            FileSource(Trickle(data, 3), size),
            *(IterableSource(chunks_of(data, chunk)) for chunk in range(1, size + 2)),
        ]
        for source in sources:
            fragments = pull(source, limit)
            assert [bytes(fragment) for fragment in fragments] == expected(data, limit)
            assert all(len(fragment) % 2 == 0 for fragment in fragments[:-1])


def test_every_chunking_of_seven_bytes_gives_the_same_fragments() -> None:
    data = data_of(7)
    for cuts in itertools.product((False, True), repeat=6):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), 7]
        pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
        with_gaps = [b"", *itertools.chain.from_iterable((piece, b"", b"") for piece in pieces)]
        for limit in (2, 4, 6, 8):
            for chunks in (pieces, with_gaps):
                fragments = pull(IterableSource(chunks), limit)
                assert [bytes(fragment) for fragment in fragments] == expected(data, limit)


def test_the_limit_may_change_between_fragments() -> None:
    data = data_of(30)
    for source in (
        BytesSource(data),
        FileSource(io.BytesIO(data), 30),
        IterableSource(chunks_of(data, 7)),
    ):
        fragments = [source.next(limit) for limit in (2, 10, 4, 20)]
        assert [len(fragment) for fragment, _ in fragments] == [2, 10, 4, 14]
        assert [is_last for _, is_last in fragments] == [False, False, False, True]
        assert b"".join(fragment for fragment, _ in fragments) == data


# Bytes -------------------------------------------------------------------------------------------


def test_fragments_of_bytes_are_slices_and_not_copies() -> None:
    data = bytearray(data_of(10))
    fragments = pull(BytesSource(data), 4)
    assert all(isinstance(item, memoryview) and item.obj is data for item in fragments)
    data[0] = data[9] = 0xAA
    assert bytes(fragments[0]) == b"\xaa\1\2\3"
    assert bytes(fragments[2]) == b"\x08\xaa"


def test_a_memory_map_is_sent_from_where_it_lies() -> None:
    with mmap.mmap(-1, 16) as mapped:
        mapped[:] = data_of(16)
        fragments = pull(as_source(mapped), 10)
        assert [bytes(item) for item in fragments] == expected(data_of(16), 10)
        assert all(isinstance(item, memoryview) and item.obj is mapped for item in fragments)
        del fragments


def test_wider_items_and_more_dimensions_are_sent_as_the_bytes_they_are() -> None:
    words = array.array("H", [0x0102, 0x0304, 0x0506])
    assert [bytes(item) for item in pull(as_source(words), 4)] == expected(words.tobytes(), 4)
    square = memoryview(data_of(4)).cast("B", (2, 2))
    assert [bytes(item) for item in pull(as_source(square), 2)] == expected(data_of(4), 2)


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        as_source(memoryview(data_of(8))[::2])


# Iterables ---------------------------------------------------------------------------------------


def test_a_fragment_inside_a_chunk_is_a_slice_and_not_a_copy() -> None:
    chunks = [data_of(12), data_of(8)]
    fragments = pull(IterableSource(chunks), 4)
    owners = [item.obj for item in fragments if isinstance(item, memoryview)]
    assert [owner is chunks[0] for owner in owners] == [True] * 3 + [False] * 2
    assert [owner is chunks[1] for owner in owners] == [False] * 3 + [True] * 2


def test_an_iterable_is_pulled_no_more_than_one_chunk_ahead() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        while taken < 10:
            taken += 1
            yield bytes(4)

    source = IterableSource(chunks())
    assert taken == 0
    for fragment in range(1, 10):
        assert source.next(4) == (bytes(4), False)
        assert taken == fragment + 1
    assert source.next(4) == (bytes(4), True)


def test_a_large_chunk_is_not_left_for_the_next_one_before_it_is_used_up() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        while taken < 2:
            taken += 1
            yield data_of(8)

    source = IterableSource(chunks())
    assert [source.next(6)[0], taken] == [data_of(6), 1]
    assert source.next(6) == (b"\6\7\0\1\2\3", False)
    assert source.next(6) == (b"\4\5\6\7", True)


class Boom(Exception):
    pass


def test_what_an_iterable_raises_goes_through() -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(8)
        raise Boom

    source = IterableSource(chunks())
    assert source.next(4) == (bytes(4), False)
    with pytest.raises(Boom):
        source.next(4)


@pytest.mark.parametrize("chunk", ["text", 1, None])
def test_a_chunk_that_is_not_bytes_is_refused(chunk: Any) -> None:
    with pytest.raises(TypeError):
        IterableSource([chunk]).next(2)


# Files -------------------------------------------------------------------------------------------


def test_a_file_is_read_from_where_it_stands_and_no_further_than_its_length() -> None:
    file = io.BytesIO(data_of(20))
    file.seek(5)
    assert b"".join(pull(FileSource(file, 10), 4)) == data_of(20)[5:15]
    assert file.tell() == 15


def test_a_file_is_asked_for_one_fragment_at_a_time() -> None:
    file = Trickle(data_of(10), 100)
    pull(FileSource(file, 10), 4)
    assert file.asked == [4, 4, 2]


@pytest.mark.parametrize("there", range(10))
@pytest.mark.parametrize("most", [1, 3, 100])
def test_a_file_that_ends_early_is_an_error(there: int, most: int) -> None:
    source = FileSource(Trickle(data_of(there), most), 10)
    with pytest.raises(EOFError, match=f"ended {10 - there} bytes early"):
        pull(source, 4)


def test_a_file_that_would_block_is_an_error() -> None:
    class Blocking:
        def read(self, size: int, /) -> None:
            return None

    with pytest.raises(EOFError, match="2 bytes early"):
        FileSource(Blocking(), 2).next(2)


def test_a_file_that_gives_text_is_refused() -> None:
    with pytest.raises(TypeError):
        as_source(io.StringIO("text")).next(2)  # type: ignore[arg-type]


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        FileSource(io.BytesIO(), -1)


# Anything ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10, 17])
def test_whatever_a_caller_has_becomes_a_source(size: int) -> None:
    data = data_of(size)
    file = io.BytesIO(b"before" + data)
    file.seek(6)
    things: list[Any] = [
        data,
        bytearray(data),
        memoryview(data),
        file,
        Trickle(data, 3),
        chunks_of(data, 3),
        (piece for piece in chunks_of(data, 3)),
        BytesSource(data),
    ]
    for thing in things:
        fragments = pull(as_source(thing), 4)
        assert [bytes(fragment) for fragment in fragments] == expected(data, 4)


def test_a_source_of_ones_own_stays_as_it_is() -> None:
    class Own:
        def next(self, limit: int) -> tuple[bytes, bool]:
            return b"", True

    own = Own()
    assert as_source(own) is own


def test_a_file_past_its_end_is_empty() -> None:
    file = io.BytesIO(b"123")
    file.seek(9)
    assert pull(as_source(file), 4) == [b""]
    assert isinstance(as_source(file), FileSource)


def test_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, data_of(11))
    os.close(writer)
    with open(reader, "rb", buffering=0) as pipe:
        assert [bytes(item) for item in pull(as_source(pipe), 4)] == expected(data_of(11), 4)


def test_a_file_without_a_position_is_read_in_large_pieces() -> None:
    file = Trickle(data_of(10), READ_SIZE)
    pull(as_source(file), 4)
    assert set(file.asked) == {READ_SIZE}


@pytest.mark.parametrize("thing", ["text", 1, None, object()])
def test_what_has_no_bytes_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"cannot come from {type(thing).__name__}"):
        as_source(thing)


def test_the_shipped_sources_are_sources() -> None:
    shipped: Iterable[Source] = (
        BytesSource(b""),
        IterableSource([]),
        FileSource(io.BytesIO(), 0),
    )
    assert all(as_source(source) is source for source in shipped)
