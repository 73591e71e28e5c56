"""`python -m aldaba` is `aldaba`."""

from aldaba.cli import main

main()
