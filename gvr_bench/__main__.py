"""`python -m gvr_bench`."""

from gvr_bench.cli.main import main

main()
