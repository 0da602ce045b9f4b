"""One TLS connection over any other transport, blocking kind.

Rules, on top of those of a transport:
1. The handshake happens in the first `receive_into` or `send`, under a deadline of its own, so that
   who says nothing delays nobody but itself.
2. Nothing that was decrypted waits while somebody receives.
3. What was encrypted was taken, and cannot be given back. Where a time-out leaves some of it over,
   a thread that lives as long as that takes sends the rest, as a system does for TCP.
4. The peer's close_notify is the end of the stream. An end without it is a `TLSError`.

What is *not* here: TLS itself (`dul_fsm.transports.tls_engine`), and TCP.
"""

from __future__ import annotations

import errno
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from dul_fsm.transports.base import Buffer, Transport
from dul_fsm.transports.tls_end import (
    HANDSHAKE_TIMEOUT,
    LINGER,
    READ_SIZE,
    Report,
    TLSEnd,
)
from dul_fsm.transports.tls_engine import PeerCertificate, TLSError
from dul_fsm.transports.waiting import deadline_in, seconds_to


class TLSTransport(TLSEnd):
    """One TLS connection over another transport."""

    def __init__(
        self,
        lower: Transport,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        report: Report | None = None,
    ) -> None:
        """Take over an open connection; the handshake happens when it is needed.

        `server_hostname`: whom the peer's certificate must name, for a context that checks it.
        """
        super().__init__(
            lower,
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            handshake_timeout=handshake_timeout,
            report=report,
        )
        self._lower = lower
        self._handshaking = threading.Lock()
        self._intake = threading.Lock()  # held by who is in `receive_into` of the transport below
        self._ciphertext = memoryview(bytearray(READ_SIZE))
        # Held while touching the engine and what follows, never while waiting.
        self._changed = threading.Condition()
        self._sending = False  # somebody is in its `send`
        self._tail = False  # and that is the thread that sends what was left over

    # What is known ------------------------------------------------------------------------------

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The certificate that the peer has shown; None if none, or before the handshake."""
        with self._changed:
            return self._engine.peer_certificate

    # The protocol -------------------------------------------------------------------------------

    def handshake(self, timeout: float | None = None) -> None:
        """Finish the handshake; nothing happens if it is over.

        Raises `TimeoutError`, and it may be called again; `TLSError` when it failed, or its own
        deadline has passed.
        """
        self._handshake(deadline_in(timeout))

    def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
        """See `Transport.send`."""
        deadline = deadline_in(timeout)
        if not any(memoryview(buffer).nbytes for buffer in buffers):
            self._check()
            return 0
        self._handshake(deadline)
        with self._told():
            with self._changed:
                free = self._changed.wait_for(
                    lambda: self._closed or not self._sending, seconds_to(deadline)
                )
                self._check()
                if not free:
                    raise TimeoutError(errno.ETIMEDOUT, "the peer took nothing in time")
                count = self._engine.write(buffers)
                self._sending = True
            try:
                self._flush(deadline)
            except OSError:
                self._look_for_last_words()
                raise
        return count

    def receive_into(self, view: memoryview, timeout: float | None) -> int:
        """See `Transport.receive_into`."""
        if not view.nbytes:
            raise ValueError("an empty view cannot receive anything")
        deadline = deadline_in(timeout)
        self._handshake(deadline)
        with self._told():
            while True:
                try:
                    with self._changed:
                        self._check()
                        count = self._engine.read_into(view)
                finally:
                    # An answer of TLS's own: new keys, an alert. If it cannot be sent, the receive
                    # that follows tells the reason.
                    with suppress(OSError):
                        self._push()
                if count is not None:
                    return count
                self._take_in(deadline)

    def close(self) -> None:
        """See `Transport.close`. The peer is told close_notify."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._engine.close()
            self._changed.notify_all()
        with suppress(OSError):
            self._push()
        with self._changed:
            # Who receives can only be woken by closing what it waits for.
            if self._tail and not self._intake.locked():
                return
        self._lower.close()

    # The handshake ------------------------------------------------------------------------------

    def _handshake(self, deadline: float | None) -> None:
        if self._engine.ready:
            return
        by = self._handshake_by if deadline is None else min(deadline, self._handshake_by)
        with self._told():
            if not self._handshaking.acquire(timeout=seconds_to(by) or 0):
                raise self._late()
            try:
                with self._reported():
                    while not self._advance():
                        self._take_in(by)
            finally:
                self._handshaking.release()

    def _advance(self) -> bool:
        try:
            with self._changed:
                self._check()
                return self._engine.handshake()
        finally:
            with suppress(OSError):
                self._push()

    def _fail(self, text: str) -> TLSError:
        with self._changed:
            return self._engine.fail(text)

    # The transport below ------------------------------------------------------------------------

    def _take_in(self, deadline: float | None) -> None:
        """Wait for ciphertext, and feed it."""
        with self._intake:
            # With the lock held: `close` sets `_closed` first and looks at the lock second.
            self._check()
            self._feed(self._lower.receive_into(self._ciphertext, seconds_to(deadline)))

    def _feed(self, count: int) -> None:
        with self._changed:
            if count:
                self._engine.feed(self._ciphertext[:count])
            else:
                self._engine.feed_end()

    def _push(self) -> None:
        """Send what TLS has to say of its own accord, unless somebody is sending: who then does."""
        with self._changed:
            if self._sending or not self._engine.has_outgoing:
                return
            self._sending = True
        self._flush(time.monotonic())

    def _flush(self, deadline: float | None) -> None:
        """Send all ciphertext, and stop being who sends; what is left at `deadline` goes to a tail.

        The bytes are in order because only one sends, and nothing is forgotten because that one
        looks once more before it stops.
        """
        rest = memoryview(b"")
        try:
            while rest := self._more(rest):
                rest = rest[self._lower.send([rest], seconds_to(deadline)) :]
        except TimeoutError:
            with self._changed:
                self._tail = True
            threading.Thread(
                target=self._send_tail, args=(rest,), name="dul-fsm TLS tail", daemon=True
            ).start()
        except BaseException:
            self._stop_sending()
            raise

    def _more(self, rest: memoryview) -> memoryview:
        """What is to be sent next; if nothing, somebody else may send."""
        if not rest:
            with self._changed:
                rest = memoryview(self._engine.outgoing())
                if not rest:
                    self._stop_sending()
        return rest

    def _stop_sending(self) -> None:
        with self._changed:
            closed_by_tail = self._tail and self._closed
            self._sending = self._tail = False
            self._changed.notify_all()
        if closed_by_tail:
            self._lower.close()

    def _send_tail(self, rest: memoryview) -> None:
        try:
            while rest := self._more(rest):
                try:
                    rest = rest[self._lower.send([rest], LINGER) :]
                except TimeoutError:
                    if self._closed:
                        raise
        except OSError:
            self._stop_sending()  # the next call finds out why

    # What is wrong ------------------------------------------------------------------------------

    def _look_for_last_words(self) -> None:
        """Sending has failed: raise what the peer said before it hung up, if it said why.

        A client whose certificate is refused learns it only after the handshake (TLS 1.3).
        """
        if not self._intake.acquire(blocking=False):
            return  # who receives hears them
        try:
            while not self._engine.cut:
                self._feed(self._lower.receive_into(self._ciphertext, 0))
        except OSError:
            pass
        finally:
            self._intake.release()
        with self._changed:
            text = self._engine.look()
        if text:
            raise TLSError(text)
