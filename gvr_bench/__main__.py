"""The command `gvr-bench`, also as `python -m gvr_bench`."""

import signal


def main() -> None:
    """Run the command; Ctrl-C ends it quietly while modules still load, too."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gvr_bench.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
