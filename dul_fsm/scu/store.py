"""A Storage SCU (PS3.4 Annex B) for files: plan which associations they need, then send them.

    for result in store(plan(["study"]), "127.0.0.1", 11112):
        print(result.path, result.reason)

Rules: a data set leaves as it lies in its file wherever the peer accepts its transfer syntax, and
is recoded only where it does not; each planned file gets exactly one result; the failure of one
stops no other.

Not here: reading and recoding files (`files`), what a user is shown (`cli`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from dul_fsm.dimse import CStoreRSP, StatusCategory, category, describe
from dul_fsm.drivers.requestor import DEFAULT_CALLED_AE_TITLE, DEFAULT_CALLING_AE_TITLE
from dul_fsm.errors import AssociationError, AssociationReleased, ContextNotAccepted, DULError
from dul_fsm.files import (
    RECODE_TARGETS,
    NotStorable,
    Part10File,
    Part10Source,
    read_part10,
    recode,
)
from dul_fsm.negotiation import (
    DEFAULT_TRANSFER_SYNTAXES,
    MAXIMUM_CONTEXTS,
    SYNCHRONOUS,
    Window,
)
from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, ContextResult
from dul_fsm.scu.association import BlockingOperation, SCUAssociation, associate
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Connector
from dul_fsm.upper_layer import Observation
from dul_fsm.value import value

DECOMPRESSIBLE = frozenset(
    (
        "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed Explicit VR Little Endian
        "1.2.840.10008.1.2.5",  # RLE Lossless
        "1.2.840.10008.1.2.4.50",  # JPEG Baseline
        "1.2.840.10008.1.2.4.51",  # JPEG Extended
        "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Non-Hierarchical
        "1.2.840.10008.1.2.4.70",  # JPEG Lossless, Non-Hierarchical, First-Order Prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
        "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
        "1.2.840.10008.1.2.4.91",  # JPEG 2000
        "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000 Lossless
        "1.2.840.10008.1.2.4.202",  # High-Throughput JPEG 2000 RPCL Lossless
        "1.2.840.10008.1.2.4.203",  # High-Throughput JPEG 2000
    )
)
"""Compressed transfer syntaxes that pydicom has a decoder for, where its codecs are installed.

Whether they are shows when a file is recoded. To ask beforehand would mean importing pydicom, which
takes longer than sending a hundred images does.
"""

DEFAULT_RECONNECTS = 2
"""How many lost associations in a row are replaced. A peer may abort for the sake of one file, or
of two that follow each other; one that drops three and takes no file in between is in trouble."""

MAX_UNDER_WAY = 64
"""Files under way at once where the peer sets no limit: each is open until it is answered."""


# The plan ----------------------------------------------------------------------------------------


@value
class PlannedAssociation:
    """One association and the files that it is for."""

    contexts: tuple[tuple[str, tuple[str, ...]], ...]
    """What to propose: SOP Class UID and transfer syntaxes, at most 128."""
    files: tuple[Part10File, ...]
    """In the order in which they are to be sent."""


@value
class Skipped:
    """A file that is in no association."""

    path: Path
    reason: str
    """Why not, in words."""
    wanted: bool
    """Whether somebody will miss it: it was named itself, or it could not be read."""


@value
class StorePlan:
    """Which files go over which associations."""

    associations: tuple[PlannedAssociation, ...]
    skipped: tuple[Skipped, ...]

    @property
    def files(self) -> int:
        """How many files there are to send."""
        return sum(len(association.files) for association in self.associations)

    @property
    def length(self) -> int:
        """Bytes of their data sets, as they are in the files."""
        return sum(f.data_set_length for a in self.associations for f in a.files)


def plan(paths: Iterable[str | os.PathLike[str]]) -> StorePlan:
    """Find the Part 10 files among `paths`, files or folders, and plan their associations.

    Folders are searched to the bottom, in the order of their names; each folder and each file
    once, whatever links lead to it. What is hidden in a folder (`.name`) is left out: so are files
    that are still being written. Only heads of files are read. Raises nothing: what cannot be read
    or stored is among `StorePlan.skipped`.
    """
    skipped: list[Skipped] = []
    files: list[Part10File] = []
    for path, named in _walk(paths, skipped):
        try:
            files.append(read_part10(path))
        except NotStorable as error:
            skipped.append(Skipped(path, str(error), named))
        except OSError as error:
            skipped.append(Skipped(path, error.strerror or str(error), True))
    return StorePlan(tuple(_associations(files)), tuple(skipped))


def _walk(
    paths: Iterable[str | os.PathLike[str]], skipped: list[Skipped]
) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself."""
    seen_folders: set[tuple[int, int]] = set()
    seen_files: set[str] = set()
    # A stack and no recursion: links can make a tree deeper than the interpreter's.
    waiting = [(Path(path), True) for path in paths][::-1]
    while waiting:
        path, named = waiting.pop()
        try:
            if path.is_dir():
                status = path.stat()
                identity = status.st_dev, status.st_ino
                if identity not in seen_folders:
                    seen_folders.add(identity)
                    names = sorted(os.listdir(path), reverse=True)
                    waiting += [(path / name, False) for name in names if name[0] != "."]
                continue
        except OSError as error:
            skipped.append(Skipped(path, error.strerror or str(error), True))
            continue
        absolute = os.path.abspath(path)
        if absolute not in seen_files:
            seen_files.add(absolute)
            yield path, named


def _associations(files: list[Part10File]) -> Iterator[PlannedAssociation]:
    """As few associations as hold the contexts that are needed, class by class."""
    by_encoding: dict[str, dict[str, list[int]]] = {}
    for number, file in enumerate(files):
        by_class = by_encoding.setdefault(file.sop_class_uid, {})
        by_class.setdefault(file.transfer_syntax_uid, []).append(number)

    numbers: list[int] = []  # of the files of one association
    needed: dict[str, list[str]] = {}  # its SOP Classes, each with its transfer syntaxes
    complete = 0  # how many contexts its other classes take

    def close() -> PlannedAssociation:
        return PlannedAssociation(
            tuple(context for uid in needed for context in _contexts(uid, needed[uid])),
            tuple(files[number] for number in sorted(numbers)),
        )

    for sop_class, encodings in by_encoding.items():
        for transfer_syntax, theirs in encodings.items():
            syntaxes = [*needed.get(sop_class, ()), transfer_syntax]
            if complete + len(_contexts(sop_class, syntaxes)) > MAXIMUM_CONTEXTS:
                yield close()
                numbers, needed, complete, syntaxes = [], {}, 0, [transfer_syntax]
            needed[sop_class] = syntaxes
            numbers += theirs
        complete += len(_contexts(sop_class, needed[sop_class]))
    if numbers:
        yield close()


def _contexts(sop_class: str, syntaxes: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The contexts for files of one class in these transfer syntaxes.

    An acceptor picks one transfer syntax of a context, so each stands alone. One more context
    offers what a file can be recoded into, as far as the others do not offer it already.
    """
    contexts: list[tuple[str, tuple[str, ...]]] = [(sop_class, (syntax,)) for syntax in syntaxes]
    if any(syntax in RECODE_TARGETS or syntax in DECOMPRESSIBLE for syntax in syntaxes):
        fallback = tuple(s for s in DEFAULT_TRANSFER_SYNTAXES if s not in syntaxes)
        if fallback:
            contexts.append((sop_class, fallback))
    return contexts


# Sending -----------------------------------------------------------------------------------------


@value
class FileResult:
    """What became of one file."""

    path: Path
    status: int | None
    """The status that the peer answered (PS3.4 Table B.2-1); None if it answered none."""
    reason: str
    """What happened, in words."""
    length: int
    """Bytes of the data set as it was sent; 0 if it was not."""
    seconds: float
    """How long it took, from opening the file to the answer."""
    error: Exception | None = None
    """What kept it from being sent. Files that one thing kept from it have the same object."""

    @property
    def ok(self) -> bool:
        """Whether the peer has it: its answer was a success or a warning."""
        good = (StatusCategory.SUCCESS, StatusCategory.WARNING)
        return self.status is not None and category(self.status) in good

    @property
    def warning(self) -> bool:
        """Whether the peer has it, but not quite as it was sent."""
        return self.status is not None and category(self.status) is StatusCategory.WARNING


def store(
    planned: StorePlan,
    peer: str | Connector,
    port: int | None = None,
    *,
    calling_ae_title: str = DEFAULT_CALLING_AE_TITLE,
    called_ae_title: str = DEFAULT_CALLED_AE_TITLE,
    maximum_length: int = DEFAULT_MAXIMUM_LENGTH,
    window: Window = SYNCHRONOUS,
    reconnects: int = DEFAULT_RECONNECTS,
    time_limits: TimeLimits | None = None,
    observer: Callable[[Observation], None] | None = None,
) -> Generator[FileResult, None, None]:
    """Send the files of a plan, and give the result of each as it comes.

    As many are under way at once as `window` proposes and the peer agrees to; their results come
    in the order in which they are answered. When an association is lost with several under way,
    those are sent again one at a time, so that it shows which of them it was.

    A file during which the association is lost has failed; the files after it go over a new
    association, up to `reconnects` times with no file stored in between. Closing the iterator
    aborts the association. The other parameters are those of `associate`. Raises `ValueError` for
    an AE title that is none.
    """

    def connect(contexts: tuple[tuple[str, tuple[str, ...]], ...]) -> SCUAssociation:
        return associate(
            peer,
            port,
            contexts=contexts,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            maximum_length=maximum_length,
            window=window,
            time_limits=time_limits,
            observer=observer,
        )

    losses = 0  # since a file was stored
    for one in planned.associations:
        waiting = list(one.files)[::-1]
        while waiting:
            try:
                association = connect(one.contexts)
            except AssociationError as error:
                yield from _none_sent(waiting, error)
                break
            stored, lost = yield from _over(association, one, waiting)
            losses = (0 if stored else losses) + (lost is not None)
            if lost is not None:
                window = SYNCHRONOUS
                if losses > reconnects:
                    yield from _none_sent(waiting, lost)
                    break


@value
class _UnderWay:
    """A file that is being sent, or awaits its answer."""

    file: Part10File
    began: float
    length: int
    operation: BlockingOperation
    opened: Part10Source | None

    def close(self) -> None:
        """What was lent is ours again."""
        if self.opened is not None:
            self.opened.close()


def _over(
    association: SCUAssociation, planned: PlannedAssociation, waiting: list[Part10File]
) -> Generator[FileResult, None, tuple[bool, Exception | None]]:
    """Send what waits, last first.

    Answers whether a file was stored, and what ended the association if that came first.
    """
    stored = False
    room = association.window.invoked or MAX_UNDER_WAY
    under_way: list[_UnderWay] = []
    # Each file has its answer: what becomes of the release changes nothing for them.
    with suppress(AssociationError), _closing(under_way), association:
        while waiting or under_way:
            if waiting and len(under_way) < room:
                file = waiting.pop()
                begun = _begin(association, planned, file)
            else:
                file, begun = _answered(association, under_way)
            if isinstance(begun, _UnderWay):
                under_way.append(begun)
                continue
            lost = isinstance(begun.error, AssociationError)
            if lost and room != 1:
                waiting += [file, *(one.file for one in under_way)][::-1]
                return stored, begun.error
            stored = stored or begun.ok
            yield begun
            if not under_way and not association.established:
                ended = AssociationReleased("the peer ended the association")
                return stored, begun.error or ended
    return stored, None


@contextmanager
def _closing(under_way: list[_UnderWay]) -> Iterator[None]:
    try:
        yield
    finally:
        for one in under_way:
            one.close()


def _begin(
    association: SCUAssociation, planned: PlannedAssociation, file: Part10File
) -> _UnderWay | FileResult:
    began = time.monotonic()
    opened: Part10Source | None = None
    operation: BlockingOperation | None = None
    try:
        transfer_syntax = _chosen(association, planned, file)
        data: Part10Source | bytes
        if transfer_syntax == file.transfer_syntax_uid:
            data = opened = Part10Source(file)
        else:
            data = recode(file, transfer_syntax)
        request = association.store_request(
            file.sop_class_uid, file.sop_instance_uid, transfer_syntax, data
        )
        operation = association.begin(request)
        return _UnderWay(file, began, len(data), operation, opened)
    except (DULError, OSError, ValueError) as error:
        return _failed(file, began, error)
    finally:
        if operation is None and opened is not None:
            opened.close()


def _answered(
    association: SCUAssociation, under_way: list[_UnderWay]
) -> tuple[Part10File, FileResult]:
    """Wait for the first answer to what is under way."""
    one = under_way[0]
    try:
        answered = association.first_answered([one.operation for one in under_way])
        one = next(one for one in under_way if one.operation is answered)
        message = answered.response()
    except (DULError, OSError, ValueError) as error:
        return one.file, _failed(one.file, one.began, error)
    finally:
        under_way.remove(one)
        one.close()
    response = cast(CStoreRSP, message.command)  # an association hands on no other answer
    comment = response.error_comment
    reason = describe(response.status) + (f": {comment}" if comment else "")
    seconds = time.monotonic() - one.began
    return one.file, FileResult(one.file.path, response.status, reason, one.length, seconds)


def _failed(file: Part10File, began: float, error: Exception) -> FileResult:
    text = error.strerror if isinstance(error, OSError) else None
    return FileResult(file.path, None, text or str(error), 0, time.monotonic() - began, error)


def _none_sent(waiting: list[Part10File], error: Exception) -> Iterator[FileResult]:
    """The results of files for which there is no association, and none to come."""
    while waiting:
        yield FileResult(waiting.pop().path, None, f"not sent: {error}", 0, 0.0, error)


def _chosen(association: SCUAssociation, planned: PlannedAssociation, file: Part10File) -> str:
    """A transfer syntax that the peer accepted for this file: its own if it can be.

    Raises `ContextNotAccepted`.
    """
    accepted = {
        context.transfer_syntax
        for context in association.contexts
        if context.abstract_syntax == file.sop_class_uid and context.scu
    }
    for syntax in (file.transfer_syntax_uid, *RECODE_TARGETS):
        if syntax in accepted:
            return syntax
    raise ContextNotAccepted(_refusal(association, planned, file, accepted))


def _refusal(
    association: SCUAssociation,
    planned: PlannedAssociation,
    file: Part10File,
    accepted: set[str],
) -> str:
    """Why a file cannot be sent, from what was proposed for it and the peer's answer."""
    if accepted:
        return (
            f"the peer does not accept transfer syntax {file.transfer_syntax_uid}, and the file "
            f"cannot be recoded into what it accepts: {', '.join(sorted(accepted))}"
        )
    # Presentation context ids count the contexts proposed: 1, 3, 5, ...
    results = {
        result.result
        for result in association.answer.presentation_contexts
        if planned.contexts[result.context_id // 2][0] == file.sop_class_uid
    }
    because = "it does not support that SOP Class"
    if results == {ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED}:
        because = f"it does not support transfer syntax {file.transfer_syntax_uid}"
    elif results != {ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED}:
        because = "it gave no reason"
    return f"the peer accepted no presentation context for {file.sop_class_uid}: {because}"
