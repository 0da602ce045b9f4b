"""Loops that move bytes between an association and a transport, and wait. No protocol decisions."""
