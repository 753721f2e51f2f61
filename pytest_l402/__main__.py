"""`python -m pytest_l402` is the command `pytest-l402`."""

import sys

from pytest_l402.cli import main

if __name__ == "__main__":
    sys.exit(main())
