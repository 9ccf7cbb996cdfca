"""`python -m gvr_bench`."""

from gvr_bench.cli import main

main()
