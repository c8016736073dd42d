"""`python -m flowgrad` is the command `flowgrad`."""

from flowgrad.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
