"""`python -m tinyrm`."""

from .cli import main

main()
