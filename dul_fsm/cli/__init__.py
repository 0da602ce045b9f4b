"""The command line `dul-fsm`: it parses, calls and prints. `app` is what is on it.

Nothing heavy is imported before a command needs it: most of the time that a C-ECHO takes is the
interpreter's start.
"""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run `dul-fsm` and exit.

    With 0 if all went well, 1 if something failed, 2 for wrong usage, 130 after Ctrl-C.
    """
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"dul-fsm: {' and '.join(missing)} not installed; what the command line needs comes "
            "with: pip install 'dul_fsm[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)

    try:
        from dul_fsm.cli.quick import parse_echo

        plain = parse_echo(sys.argv[1:])
        if plain is not None:
            from dul_fsm.cli.echo import echo

            sys.exit(echo(**plain))

        from dul_fsm.cli.app import app

        app(prog_name="dul-fsm")
    except KeyboardInterrupt:  # before a command was there to say more about it
        sys.exit(130)
