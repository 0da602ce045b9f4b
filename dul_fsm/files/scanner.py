"""Find a few top-level values at the head of an encoded data set (PS3.5 §7, Annex A).

A C-STORE needs two UIDs of a data set of half a megabyte, and a folder that files what it
receives needs two more. This walks the top level of the data set in place, skipping every value
that was not asked for, sequences of undefined length included, and stops as soon as it can.

Rules: no recursion, no copy but of the values found, a bounded number of steps whatever the
bytes say, and no error: a value that cannot be reached is a value that is not there. Whether the
VR is explicit is taken from the first element and not from the transfer syntax UID, since files
that declare the one and hold the other exist.

Not here: files (`part10`), values other than short text, anything inside a sequence.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection
from functools import cache
from itertools import groupby
from operator import itemgetter
from struct import Struct
from typing import NamedTuple

# PS3.5 §A.5 and the JPIP referenced syntaxes of §A.8: the whole data set is one deflated stream.
DEFLATED = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)

EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

# A step is an element, an item or a delimiter; a run of plain elements (see `_plain`) counts as one
# for each eight bytes, since none is shorter. Real heads need tens; per-frame functional groups
# come after everything that is looked for here. The limit keeps hostile bytes below 0.2 s.
STEP_LIMIT = 200_000

# What is inflated to look for a value: the encoded bytes taken, and the bytes made of them.
INFLATE_LIMIT = 1 << 20

# The longest value taken for text: a UID has 64 bytes, a long string (LO) 64 characters.
VALUE_LIMIT = 1024

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xE000

# PS3.5 Table 7.1-1 and 7.1-2: VRs with a 32-bit and with a 16-bit length.
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())

# Elements in one run: a real head has a hundred. After so many, the next run begins.
_RUN_LIMIT = 1000

# The most frequent first: they are tried in this order.
_PLAIN_LENGTHS = (2, 4, 8, 6, *range(10, 66, 2), 0)


class _Layout(NamedTuple):
    """How the head of an element is laid out."""

    head: Struct
    """Group, element, the two bytes of an explicit VR, and the 16-bit length after them."""
    length: Struct
    """A 32-bit length."""
    explicit: bool


_LITTLE = Struct("<HH2sH"), Struct("<L")
_BIG = Struct(">HH2sH"), Struct(">L")
_EXPLICIT_LITTLE = _Layout(*_LITTLE, True)
_IMPLICIT_LITTLE = _Layout(*_LITTLE, False)
_EXPLICIT_BIG = _Layout(*_BIG, True)
_IMPLICIT_BIG = _Layout(*_BIG, False)


class Walked(NamedTuple):
    """What `walk` found."""

    values: dict[int, str]
    """Tag to text, without its padding; only tags that were asked for and that are there."""
    position: int
    """Where the walk stopped: at the element that ended it, or where the bytes did not suffice."""
    finished: bool
    """False when the buffer ended before the walk did: more bytes could have told more."""


def scan(
    head: bytes | bytearray | memoryview, transfer_syntax_uid: str, tags: Collection[int]
) -> dict[int, str]:
    """The text of the top-level elements `tags` in `head`, the first bytes of a data set.

    `tags` are 32-bit, group first: 0x00080018. Missing from the answer: what is not in `head`,
    not at the top level, or longer than `VALUE_LIMIT`. Never raises, whatever the bytes.
    """
    return scan_head(head, transfer_syntax_uid, tags).values


def scan_head(
    head: bytes | bytearray | memoryview, transfer_syntax_uid: str, tags: Collection[int]
) -> Walked:
    """As `scan`, and whether a longer head could tell more."""
    if transfer_syntax_uid in DEFLATED:
        head = _inflate(head)
    big = transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
    return walk(head, 0, tags, last=max(tags, default=0), big=big)


def walk(
    buffer: bytes | bytearray | memoryview,
    position: int,
    tags: Collection[int],
    *,
    first: int = 0,
    last: int,
    big: bool = False,
    to_the_end: bool = False,
) -> Walked:
    """Walk the top level of `buffer` from `position` to the first tag outside `first`..`last`.

    Ends earlier when every tag in `tags` was found, unless `to_the_end`.
    """
    values: dict[int, str] = {}
    end = len(buffer)
    explicit = bytes(buffer[position + 4 : position + 6])
    if explicit in _SHORT or explicit in _LONG:
        layout = _EXPLICIT_BIG if big else _EXPLICIT_LITTLE
    else:
        layout = _IMPLICIT_BIG if big else _IMPLICIT_LITTLE
    # The layout outside each sequence or item of undefined length that the walk is inside of.
    outside: list[_Layout] = []

    plain = None
    if layout is _EXPLICIT_LITTLE and not first:
        plain = _plain(min((last, *tags)) >> 16)

    steps = STEP_LIMIT
    while steps > 0:
        steps -= 1
        if plain is not None and not outside and position < end:
            run = plain.match(buffer, position, position + 8 * steps)
            if run is not None:
                steps -= (run.end() - position) // 8
                position = run.end()
        if position + 8 > end:
            return Walked(values, position, False)
        group, element, vr, length = layout.head.unpack_from(buffer, position)
        if not outside:
            tag = group << 16 | element
            if not first <= tag <= last:
                return Walked(values, position, True)
        elif group == 0xFFFE:
            (length,) = layout.length.unpack_from(buffer, position + 4)
            position += 8
            if element != _ITEM:
                layout = outside.pop()
            elif length == _UNDEFINED:
                outside.append(layout)
            else:
                position += length
            continue

        start = position + 8
        if not layout.explicit or not (vr in _SHORT or _is_short(vr, length)):
            if layout.explicit and vr.isalpha():
                start = position + 12
                if start > end:
                    return Walked(values, position, False)
            (length,) = layout.length.unpack_from(buffer, start - 4)
            if length == _UNDEFINED:
                outside.append(layout)
                # PS3.5 §6.2.2: what stands in a UN of undefined length is implicit VR little
                # endian, whatever stands around it.
                if vr == b"UN" and layout.explicit:
                    layout = _IMPLICIT_LITTLE
                position = start
                continue

        if not outside and tag in tags and length <= VALUE_LIMIT:
            if start + length > end:
                return Walked(values, position, False)
            values[tag] = str(buffer[start : start + length], "latin-1").strip("\0 ")
            position = start + length
            if len(values) == len(tags) and not to_the_end:
                return Walked(values, position, True)
        position = start + length
    return Walked(values, position, True)


@cache
def _plain(before: int) -> re.Pattern[bytes] | None:
    """A run of elements that nobody looks for; None if there are none.

    Most of a head is such: explicit VR little endian, a group below `before`, a short VR, and as
    many bytes as the length says, 64 at most. What is not of this form ends the run.
    """
    if not before:
        return None
    group = b"[\\x00-\\x%02x]\\x00" % (min(before, 0x100) - 1)
    # By their first letters: a third of the branches to try.
    short = b"|".join(
        b"%c[%b]" % (first, b"".join([vr[1:] for vr in vrs]))
        for first, vrs in groupby(sorted(_SHORT), itemgetter(0))
    )
    value = b"|".join(b"\\x%02x\\x00.{%d}" % (length, length) for length in _PLAIN_LENGTHS)
    element = group + b"..(?:" + short + b")(?:" + value + b")"
    # Not possessive, though nothing is ever tried again: before Python 3.11.5 that matches too much
    # (python/cpython#106052). The limit is for the memory that trying again would need.
    return re.compile(b"(?:" + element + b"){0,%d}" % _RUN_LIMIT, re.DOTALL)


def _is_short(vr: bytes, length: int) -> bool:
    """Whether two letters that PS3.5 does not know as a VR are followed by a 16-bit length.

    PS3.5 §7.1.2 gives all future VRs a 32-bit length after two zero bytes; with anything else in
    those bytes the writer meant a 16-bit length. (What is not even letters is the length of an
    implicit VR element that strayed into an explicit VR data set.)
    """
    return vr not in _LONG and length != 0 and vr.isalpha()


def _inflate(head: bytes | bytearray | memoryview) -> bytes:
    """The first bytes of a deflated data set, as far as they can be inflated."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return stream.decompress(head[:INFLATE_LIMIT], INFLATE_LIMIT)
    except zlib.error:
        return b""
