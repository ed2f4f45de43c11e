"""A process to be killed: `python -m tests.lake.killed fetch LAKE URL`, or `import LAKE FILE...`.
Says when it begins.
"""

import sys
from pathlib import Path

from wheelvec.vendors.databento import archive, client

if __name__ == "__main__":
    from tests.vendors.feeds import get

    kind, root, *rest = sys.argv[1:]
    client.METADATA_PER_SECOND = client.DATA_PER_SECOND = 1e5
    print("begin", flush=True)
    if kind == "fetch":
        get(Path(root), rest[0])
    else:
        archive.import_dbn(rest, lake=root, entry_time="close-15min")
