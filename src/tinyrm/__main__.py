"""python -m tinyrm: the command line."""

from .cli import main

main()
