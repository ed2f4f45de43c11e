"""How much memory this process has taken at most."""

import resource
import sys
from pathlib import Path


def peak_kib() -> int:
    """KiB. On Linux of this program alone: what `getrusage` says begins with that of the process
    which started it.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
