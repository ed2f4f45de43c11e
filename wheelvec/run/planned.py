"""The estimated cost of a sweep: `Plan`, as figures, text and HTML."""

import dataclasses
from typing import Any

from wheelvec.model import markup
from wheelvec.model.errors import counted


@dataclasses.dataclass(frozen=True)
class Plan:
    """The cost of a sweep on the workers of an executor, estimated from one job that was timed.

    It prints itself, and shows itself in notebooks. `plan` returns one.

    Attributes:
        underlyings: their number.
        months: of entries.
        configurations: distinct ones.
        cells: wheels x configurations, estimated.
        order_statistics: how median and percentiles of ROC are found: "exact", "binned" (then
            exact to 0.005 percentage points, the column `percentile_error`) or "none".
        data: bytes of the files of the underlyings.
        jobs: the number of jobs that simulate wheels.
        workers: jobs that run at a time.
        survey: processor time of the check of the data before the jobs, estimated.
        seconds: processor time of the jobs, estimated.
        longest: seconds of the longest job, estimated.
        memory: bytes of a worker's process while it runs the job that needs most, estimated.
        results: bytes that the jobs return, at most.

    Example:
        >>> import tempfile
        >>> import wheelvec as wv
        >>> folder = tempfile.mkdtemp()
        >>> market = wv.demo_market(symbols=["ALFA", "BRVO"], end="2024-02-29")
        >>> written = market.write(folder)
        >>> plan = wv.plan(wv.Market.open(folder), None, {"put.exit_pct": [0.25, 0.5, 0.75]})
        >>> plan.underlyings, plan.configurations, plan.order_statistics
        (2, 3, 'exact')
    """

    underlyings: int
    months: int
    configurations: int
    cells: int
    order_statistics: str
    data: int
    jobs: int
    workers: int
    survey: float
    seconds: float
    longest: float
    memory: int
    results: int

    @property
    def slices(self) -> int:
        """The number of slices: underlyings x months of entries.

        Example:
            >>> from wheelvec.run.planned import Plan
            >>> Plan(100, 12, 3, 75_000, "exact", 10**9, 9, 2, 4.0, 60.0, 8.0, 10**9, 10**6).slices
            1200
        """
        return self.underlyings * self.months

    @property
    def wall(self) -> float:
        """Seconds until the end, estimated: the processor time shared among the workers.

        It is at least the time of the longest job.

        Example:
            >>> from wheelvec.run.planned import Plan
            >>> Plan(100, 12, 3, 75_000, "exact", 10**9, 9, 2, 4.0, 60.0, 8.0, 10**9, 10**6).wall
            32.0
        """
        jobs = max(self.seconds / min(self.workers, max(1, self.jobs)), self.longest)
        return self.survey / min(self.workers, self.underlyings) + jobs

    def to_dict(self) -> dict[str, Any]:
        """The figures by name.

        Example:
            >>> from wheelvec.run.planned import Plan
            >>> plan = Plan(100, 12, 3, 75_000, "exact", 10**9, 9, 2, 4.0, 60.0, 8.0, 10**9, 10**6)
            >>> plan.to_dict()["slices"], plan.to_dict()["wall"]
            (1200, 32.0)
        """
        return dataclasses.asdict(self) | {"slices": self.slices, "wall": self.wall}

    def __str__(self) -> str:
        return "\n".join(
            [self._title, *(f"  {name:16}{value:>15}  {text}" for name, value, text in self._rows)]
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return markup.block(
            markup.heading(self._title), markup.table(["", "", ""], self._rows, "lrl")
        )

    @property
    def _title(self) -> str:
        configurations = counted(self.configurations, "configuration")
        return f"Plan of a sweep: {configurations}, {counted(self.underlyings, 'underlying')}"

    @property
    def _rows(self) -> list[tuple[str, str, str]]:
        """Name, value and explanation of each line."""
        ordered = {
            "exact": "median and percentiles of ROC",
            "binned": "median and percentiles to 0.005 points (percentile_error)",
            "none": "no median, no percentiles",
        }
        return [
            ("data", in_bytes(self.data), "files of these underlyings"),
            ("slices", f"{self.slices:,}", f"underlyings x {counted(self.months, 'month')}"),
            ("cells", f"{self.cells:,}", "wheels x configurations, estimated"),
            ("order statistics", self.order_statistics, ordered[self.order_statistics]),
            ("jobs", f"{self.jobs:,}", f"{self.workers:,} at a time"),
            ("check of data", in_time(self.survey), "of processor time, estimated"),
            ("processor time", in_time(self.seconds), "estimated from one job that was timed"),
            ("wall time", in_time(self.wall), "estimated, while every worker is busy"),
            ("memory", in_bytes(self.memory), "of each worker, estimated"),
            ("returned", in_bytes(self.results), "by all jobs, at most"),
        ]


def in_bytes(size: float) -> str:
    """A number of bytes in words.

    Example:
        >>> from wheelvec.run.planned import in_bytes
        >>> [in_bytes(size) for size in (12, 4_700, 3_210_000_000)]
        ['12 bytes', '4.7 kB', '3.2 GB']
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:,.0f} bytes"


def in_time(seconds: float) -> str:
    """A time in words.

    Example:
        >>> from wheelvec.run.planned import in_time
        >>> [in_time(seconds) for seconds in (0.25, 42.0, 600.0, 90_000.0, 900_000.0)]
        ['0.2 s', '42 s', '10.0 min', '25.0 h', '10.4 days']
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    for unit, name in ((3600.0, "min"), (48 * 3600.0, "h")):
        if seconds < unit:
            return f"{seconds / (60.0 if name == 'min' else 3600.0):,.1f} {name}"
    return f"{seconds / 86_400.0:,.1f} days"
