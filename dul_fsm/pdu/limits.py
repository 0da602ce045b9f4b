"""What this implementation takes from a peer at most, and its fixed numbers.

PS3.8 sets no upper bound on an A-ASSOCIATE PDU, nor on a P-DATA-TF PDU once the maximum length
is 0. Memory must be bounded before it is allocated, so the bounds are here, each with its reason.

Not here: limits on time (`timers`) and on messages (`dimse`).
"""

from __future__ import annotations

from typing import Final

HEADER_LENGTH: Final = 6
"""Bytes of the PDU-type, a reserved byte and the PDU-length, which every PDU starts with."""

FIXED_LENGTH: Final = 4
"""PDU-length of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT (PS3.8 §9.3.4, §9.3.6-8)."""

MIN_ASSOCIATE_LENGTH: Final = 68
"""PDU-length of an A-ASSOCIATE-RQ or -AC before its first item (PS3.8 Tables 9-11 and 9-17)."""

MAX_ASSOCIATE_LENGTH: Final = 1 << 20
"""Largest PDU-length of an A-ASSOCIATE-RQ or -AC: 1 MiB.

128 presentation contexts with 40 transfer syntaxes each and 64-character UIDs come to 350 KiB,
and a full user information item to 64 KiB; the rest is room for items that are not known yet.
"""

MIN_P_DATA_LENGTH: Final = 6
"""Smallest PDU-length of a P-DATA-TF: one PDV item with an empty fragment (PS3.8 Table 9-23)."""

MAX_P_DATA_LENGTH: Final = 1 << 24
"""Largest PDU-length of a P-DATA-TF when the maximum length that we advertised is 0: 16 MiB.

"No limit" cannot be meant literally, for a PDU is judged by its 6-byte header and then buffered;
senders gain nothing measurable beyond 1 MiB, and 16 MiB are a loss that a host survives.
"""

MAX_PDVS: Final = 1 << 16
"""Most PDVs in one P-DATA-TF PDU.

An empty PDV takes 6 bytes on the wire and some fifty times that here. Only a PDU longer than
384 KiB can hold so many at all, and there it bounds the memory to the PDU's own order of size.
"""

MAX_UID_LENGTH: Final = 64
"""Most characters in a UID (PS3.8 Annex F.1)."""

DEFAULT_MAXIMUM_LENGTH: Final = 1 << 17
"""The maximum length that we advertise unless told otherwise: 128 KiB, in bytes.

Large enough that the work per PDU vanishes beside the work per byte, small enough that a thousand
associations fit in memory.
"""

DICOM_APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
"""The only application context name that DICOM registers (PS3.7 §A.2.1)."""

PROTOCOL_VERSION: Final = 1
"""Protocol-version: bit 0 stands for version 1 and is the only bit to be tested (PS3.8 §9.3.2)."""
