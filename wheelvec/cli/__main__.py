"""`python -m wheelvec.cli`."""

import sys

from wheelvec.cli import main

sys.exit(main())
