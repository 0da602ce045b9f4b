"""What user information an A-ASSOCIATE PDU carries, as values (PS3.8 Annex D.1; PS3.7 Annex D.3.3).

Values hold what was said, not what it means: nothing is checked when one is made. What cannot be
put on the wire is refused when it is encoded; what it leads to is for `negotiation` to say.
`repr` never shows the fields of a user identity, for they are names, passcodes and tickets.

Not here: their bytes (`user_items`).
"""

from __future__ import annotations

from dataclasses import dataclass

from dul_fsm.pdu.codes import UserIdentityType
from dul_fsm.pdu.limits import DEFAULT_MAXIMUM_LENGTH
from dul_fsm.value import value


@value
class AsynchronousOperationsWindow:
    """53H: how many operations may be outstanding (PS3.7 §D.3.3.3).

    Both numbers are seen from the association-requestor, in the request and in the answer.
    """

    invoked: int
    """Most operations that the requestor may have outstanding; 0 unlimited, else 1..65535."""
    performed: int
    """Most operations that the acceptor may have outstanding; 0 unlimited, else 1..65535."""


@value
class RoleSelection:
    """54H: the roles of the association-requestor for one SOP class (PS3.7 §D.3.3.4)."""

    sop_class_uid: str
    """The SOP class; 1..64 characters."""
    scu: bool
    """Request: the requestor offers to be SCU. Answer: the acceptor agrees."""
    scp: bool
    """Request: the requestor offers to be SCP. Answer: the acceptor agrees."""


@value
class SOPClassExtendedNegotiation:
    """56H: what the service class of one SOP class wants to tell the peer (PS3.7 §D.3.3.5)."""

    sop_class_uid: str
    """The SOP class; 1..64 characters."""
    information: bytes
    """Service-class-application-information, of the service class's own making."""


@value
class SOPClassCommonExtendedNegotiation:
    """57H: the service class and the relatives of one SOP class (PS3.7 §D.3.3.6); requests only."""

    sop_class_uid: str
    """The SOP class; 1..64 characters."""
    service_class_uid: str
    """Its service class; 1..64 characters."""
    related_general_sop_classes: tuple[str, ...] = ()
    """Related general SOP classes, each 1..64 characters; may be none."""
    version: int = 0
    """Sub-Item-version; 0..255. A later version only appends fields, which are skipped."""


@dataclass(frozen=True, slots=True, repr=False)
class UserIdentityRQ:
    """58H: who the association-requestor is (PS3.7 §D.3.3.7.1)."""

    identity_type: int
    """A `UserIdentityType`, 1..5; kept as it came."""
    primary_field: bytes
    """User name (UTF-8), Kerberos ticket, SAML assertion or JSON web token; 0..65535 bytes."""
    secondary_field: bytes = b""
    """The passcode (UTF-8) of type 2, else empty; 0..65535 bytes."""
    positive_response_requested: bool = False
    """Whether the acceptor is asked to answer with a 59H."""

    @classmethod
    def username(cls, name: str, *, positive_response_requested: bool = False) -> UserIdentityRQ:
        """Type 1: a user name."""
        kind = UserIdentityType.USERNAME
        return cls(kind, name.encode(), b"", positive_response_requested)

    @classmethod
    def username_and_passcode(
        cls, name: str, passcode: str, *, positive_response_requested: bool = False
    ) -> UserIdentityRQ:
        """Type 2: a user name and a passcode, which travels as it is: use TLS."""
        kind = UserIdentityType.USERNAME_AND_PASSCODE
        return cls(kind, name.encode(), passcode.encode(), positive_response_requested)

    @classmethod
    def kerberos(
        cls, ticket: bytes, *, positive_response_requested: bool = False
    ) -> UserIdentityRQ:
        """Type 3: a Kerberos service ticket."""
        return cls(
            UserIdentityType.KERBEROS_SERVICE_TICKET, ticket, b"", positive_response_requested
        )

    @classmethod
    def saml(
        cls, assertion: bytes | str, *, positive_response_requested: bool = False
    ) -> UserIdentityRQ:
        """Type 4: a SAML assertion."""
        field = assertion.encode() if isinstance(assertion, str) else assertion
        return cls(UserIdentityType.SAML_ASSERTION, field, b"", positive_response_requested)

    @classmethod
    def jwt(
        cls, token: bytes | str, *, positive_response_requested: bool = False
    ) -> UserIdentityRQ:
        """Type 5: a JSON web token."""
        field = token.encode() if isinstance(token, str) else token
        return cls(UserIdentityType.JSON_WEB_TOKEN, field, b"", positive_response_requested)

    def __repr__(self) -> str:
        return (
            f"UserIdentityRQ(identity_type={self.identity_type},"
            f" primary_field=<{len(self.primary_field)} bytes>,"
            f" secondary_field=<{len(self.secondary_field)} bytes>,"
            f" positive_response_requested={self.positive_response_requested})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class UserIdentityAC:
    """59H: the acceptor's answer to an accepted 58H that asked for one (PS3.7 §D.3.3.7.2)."""

    server_response: bytes
    """Kerberos server ticket or SAML response; empty for types 1 and 2; 0..65535 bytes."""

    def __repr__(self) -> str:
        return f"UserIdentityAC(server_response=<{len(self.server_response)} bytes>)"


@value
class UserInformation:
    """50H: the user information of an A-ASSOCIATE-RQ or -AC (PS3.8 §9.3.2.3, §9.3.3.3).

    `None` and `()` stand for a sub-item that was not, or is not to be, sent.
    """

    maximum_length: int | None = DEFAULT_MAXIMUM_LENGTH
    """51H: the largest P-DATA-TF PDU-length its sender will receive, in bytes; 0 no limit."""
    implementation_class_uid: str | None = None
    """52H: 1..64 characters. The standard demands it; a peer that omits it is put up with."""
    implementation_version_name: str | None = None
    """55H: 1..16 characters; an empty one that was received is None."""
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    """53H; None means synchronous: one operation at a time each way."""
    role_selections: tuple[RoleSelection, ...] = ()
    """54H, at most one per SOP class, in the order of the wire."""
    extended_negotiations: tuple[SOPClassExtendedNegotiation, ...] = ()
    """56H, at most one per SOP class, in the order of the wire."""
    common_extended_negotiations: tuple[SOPClassCommonExtendedNegotiation, ...] = ()
    """57H, at most one per SOP class, in the order of the wire; requests only."""
    user_identity: UserIdentityRQ | None = None
    """58H; requests only."""
    user_identity_response: UserIdentityAC | None = None
    """59H; answers only."""
