"""Service class users: `associate` opens an association and returns it, ready for operations."""

from dul_fsm.scu.association import BlockingOperation, SCUAssociation, associate

__all__ = ["BlockingOperation", "SCUAssociation", "associate"]
