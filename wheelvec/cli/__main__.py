"""`python -m wheelvec.cli`: the same as `python -m wheelvec`."""

import sys

from wheelvec.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m wheelvec"))
