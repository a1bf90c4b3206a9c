"""`python -m tabard`: the same as the command `tabard`."""

from tabard.cli import main

main()
