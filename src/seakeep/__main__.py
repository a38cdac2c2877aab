"""``python -m seakeep``: the command line."""

from seakeep.cli import main

main()
