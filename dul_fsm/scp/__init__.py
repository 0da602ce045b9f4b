"""Service class providers: `serve` listens, one `Handler` object for each association."""

from dul_fsm.scp.server import Server, serve

__all__ = ["Server", "serve"]
