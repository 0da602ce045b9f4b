"""`python -m dul_fsm` is `dul-fsm`."""

from dul_fsm.cli import main

main()
