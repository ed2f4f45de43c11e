"""An import that kills itself: `python -m tests.lake.killed_import LAKE FOLDER N STAGED`, at its
N-th fsync or rename (0: at none). Says how many there were. STAGED 1: as if the tables did not fit
into memory.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from wheelvec.market import staged

CALLS = 0


def counting(name: str, owner: Any, last: int) -> None:
    working = getattr(owner, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        global CALLS
        CALLS += 1
        if last == CALLS:
            os.kill(os.getpid(), signal.SIGKILL)
        return working(*arguments, **named)

    setattr(owner, name, counted)


if __name__ == "__main__":
    lake, folder, last, spill = sys.argv[1:]
    counting("fsync", os, int(last))
    counting("replace", Path, int(last))
    if spill == "1":
        staged.SPILL_BYTES, staged.CHUNK_ROWS = 4_000, 60
    files = {
        name: [Path(folder) / f"{name}.parquet"]
        for name in ("option_quotes", "option_bars", "underlying_bars")
    }
    print("begin", flush=True)
    with staged.imported(Path(lake), files) as market:
        market.write(lake)
    print(CALLS, flush=True)
