"""How many connections a process may have open at once."""

from __future__ import annotations

import resource


def descriptor_limit() -> int:
    """Descriptors that this process may have open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _finite(limit)


def raise_descriptor_limit(wanted: int | None = None) -> int:
    """Raise what this process may have open to `wanted` descriptors; returns what it then may.

    A connection takes one descriptor, and most systems start a process with a limit of 1024.
    A program that serves more calls this once, before `serve`: any user may raise the soft limit
    up to the hard one (`ulimit -Hn`), and None asks for all of that. Only an administrator raises
    the hard limit: `LimitNOFILE=` of a systemd unit, `nofile` in limits.conf, `--ulimit` of a
    container. Never lowers anything and never raises an exception: look at what it returns.

    It is not done unasked, for in a process with more than 1024 descriptors `select.select` fails;
    asyncio does not use that on the systems that this package runs on.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _finite(hard)
    target = most if wanted is None else min(wanted, most)
    if target > _finite(soft):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (OSError, ValueError):
            return _finite(soft)  # some systems allow less than they say
        return target
    return _finite(soft)


def _finite(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit
