"""Which presentation contexts files need to be sent as they are."""

from __future__ import annotations

import os
from collections.abc import Iterable

from dul_fsm.files.part10 import read_part10
from dul_fsm.negotiation import ContextLike


def contexts_of(files: Iterable[str | os.PathLike[str]]) -> list[ContextLike]:
    """A context for each SOP Class and transfer syntax that is among the files."""
    heads = [read_part10(path) for path in files]
    pairs = dict.fromkeys((head.sop_class_uid, head.transfer_syntax_uid) for head in heads)
    return [(sop_class, (transfer_syntax,)) for sop_class, transfer_syntax in pairs]
