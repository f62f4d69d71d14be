"""`python -m cli` is `tradewinds`."""

from cli.main import main

main()
