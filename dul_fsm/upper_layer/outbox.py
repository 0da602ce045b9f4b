"""PDUs that wait for the transport, in order, and how far the first of them has left.

Also what limits them: the peer's maximum length, and the one A-ABORT of a connection.

Not here: what may be sent when (`provider`).
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from dul_fsm.pdu import PDU, AAbort, PDUType, encode, p_data_header

Buffer: TypeAlias = bytes | bytearray | memoryview

MAXIMUM_FRAGMENT_SENT = 262144
"""Bytes of the longest fragment that we send to a peer that sets no limit."""

UNSTATED_MAXIMUM_LENGTH = 16384
"""What we take a peer to receive that left out the mandatory sub-item 51H: what every known
implementation has always taken."""

_PDV_OVERHEAD = 6
"""PS3.8 §9.3.5.1: the maximum length counts the PDV item's length (4 bytes), context id and message
control header too."""


class OutgoingPDU:
    """One PDU on its way: its buffers, and how many of its bytes have not left yet."""

    __slots__ = ("buffers", "left", "pdu_type", "size")

    def __init__(self, pdu_type: PDUType, buffers: tuple[Buffer, ...], size: int) -> None:
        self.pdu_type = pdu_type
        self.buffers = buffers
        self.size = size
        """Bytes of all buffers, header included."""
        self.left = size


class Outbox:
    """A queue of PDUs."""

    __slots__ = ("_abort_sent", "_lent", "_queue", "length", "maximum_fragment")

    def __init__(self) -> None:
        self._queue: deque[OutgoingPDU] = deque()
        self.reset()

    def reset(self) -> None:
        """As before the first PDU."""
        self.clear()
        self._abort_sent = False
        self.maximum_fragment = 0
        """Bytes of the longest fragment that the peer receives; 0 while unknown."""

    def learn_maximum(self, maximum_length: int | None) -> None:
        """The peer's Maximum-length-received, bytes, 0 for no limit; None if it left it out."""
        if maximum_length is None:
            maximum_length = UNSTATED_MAXIMUM_LENGTH
        longest = max(maximum_length - _PDV_OVERHEAD, 0) if maximum_length else 1 << 32
        # PS3.8 Annex E.1: fragments are of even length.
        self.maximum_fragment = min(longest, MAXIMUM_FRAGMENT_SENT) & ~1

    def put(self, pdu: PDU) -> None:
        """Queue a PDU."""
        self.put_encoded(pdu.pdu_type, encode(pdu))

    def put_encoded(self, pdu_type: PDUType, encoded: bytes) -> None:
        """Queue a PDU of which the bytes are there."""
        self._append(OutgoingPDU(pdu_type, (encoded,), len(encoded)))

    def put_p_data(self, context_id: int, control: int, fragment: Buffer) -> None:
        """Queue a P-DATA-TF with one PDV, its fragment uncopied."""
        length = len(fragment)
        header = p_data_header(context_id, control, length)
        buffers = (header, fragment) if length else (header,)
        size = len(header) + length
        self._queue.append(OutgoingPDU(PDUType.P_DATA_TF, buffers, size))
        self.length += size

    def put_abort(self, pdu: AAbort) -> None:
        """Queue an A-ABORT ahead of all that was not handed out yet; the first one only.

        AA-7 may run after AA-1 or AA-8, but one A-ABORT says everything.
        """
        if not self._abort_sent:
            self._abort_sent = True
            self._drop_unstarted()
            self.put(pdu)

    def _append(self, pdu: OutgoingPDU) -> None:
        self._queue.append(pdu)
        self.length += pdu.left

    def clear(self) -> None:
        """Forget all of it."""
        self._queue.clear()
        self.length = 0
        self._lent = 0  # bytes handed out, of which it is not known yet whether they left

    def _drop_unstarted(self) -> None:
        """Forget the PDUs that the transport has nothing of and is not being handed now."""
        kept, lent, before = [], self._lent, 0
        for pdu in self._queue:
            if before >= lent and pdu.left == pdu.size:
                break
            kept.append(pdu)
            before += pdu.left
        self.clear()
        for pdu in kept:
            self._append(pdu)
        self._lent = lent

    def buffers(self, limit: int) -> list[Buffer]:
        """What to send next, in order: at most `limit` bytes, unless the first buffer is longer.

        Until `sent` says how many of them left, they stay first in the queue.
        """
        out: list[Buffer] = []
        room = limit
        for pdu in self._queue:
            skip = pdu.size - pdu.left
            if not skip and pdu.size <= room:  # the whole of it
                out += pdu.buffers
                room -= pdu.size
                continue
            for buffer in pdu.buffers:
                size = len(buffer) - skip
                if size <= 0:
                    skip = -size
                    continue
                if out and size > room:
                    self._lent = limit - room
                    return out
                out.append(memoryview(buffer)[skip:] if skip else buffer)
                room -= size
                skip = 0
        self._lent = limit - room
        return out

    def sent(self, count: int) -> list[OutgoingPDU]:
        """`count` of the bytes handed out have left, and the rest of them have not.

        Returns the PDUs of which the last byte is among them.
        """
        self._lent = 0
        if count >= self.length:  # more, if some of it was forgotten meanwhile
            gone = list(self._queue)
            self.clear()
            return gone
        self.length -= count
        gone = []
        while count:
            pdu = self._queue[0]
            if count < pdu.left:
                pdu.left -= count
                break
            count -= pdu.left
            gone.append(self._queue.popleft())
        return gone
