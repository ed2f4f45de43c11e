"""`python -m wheelvec`: the same as the `wheelvec` command."""

import sys

from wheelvec.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m wheelvec"))
