"""The workers of an executor verify the data of a market, so that no other process reads them."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from wheelvec.market.market import DIGESTS, Market
from wheelvec.model.errors import WheelvecError
from wheelvec.model.schemas import FAILURES
from wheelvec.run.cluster.job_results import grouped, name_of
from wheelvec.run.cluster.jobs import Done, SurveyJob, unpacked, versions
from wheelvec.run.cluster.workers import Asked, Workers
from wheelvec.tables.anomalies import Findings

SURVEYED = 2**28  # bytes of files at most that one job surveys: some seconds
MONTH = 2**20  # bytes as which each month of an underlying counts besides, however small its files


class Failed(dict[str, str]):
    """The error of each underlying that could not be simulated, by its symbol."""

    def frame(self) -> pl.DataFrame:
        """Underlying and error of each, sorted."""
        return pl.DataFrame(sorted(self.items()), schema=FAILURES, orient="row")

    def others(self, symbols: Iterable[str]) -> list[str]:
        """Those of some underlyings that did not fail, in their order.

        Raises:
            WheelvecError: if all did.
        """
        found = [symbol for symbol in symbols if symbol not in self]
        if self and not found:
            symbol, error = next(iter(self.items()))
            raise WheelvecError(f"none of the underlyings could be simulated; {symbol}: {error}")
        return found


def survey(
    market: Market,
    workers: Workers,
    sizes: Mapping[str, int],
    findings: bool,
    memory: int | None = None,
) -> dict[str, str]:
    """Let workers verify the data of a lake, and give the market their findings.

    Data that the market holds already are not read again, except of underlyings that failed.

    Args:
        market: of a lake; it holds the digests afterwards, and the findings.
        workers: of the executor.
        sizes: the bytes of the files of each underlying, as `Market.sizes` returns them.
        findings: whether anomalies are looked for too, which become warnings.
        memory: bytes that a job may take; None: a share of its worker's.

    Returns:
        The errors by underlying, of those whose data cannot be read.

    Raises:
        WheelvecError: if no worker can be used.
    """
    names = market.unsurveyed(findings)
    if not names:
        return {}
    expected = versions()
    first, last = market.data_range or (dt.date(2020, 1, 1),) * 2
    months = 1 + 12 * (last.year - first.year) + last.month - first.month
    weights = {name: size + MONTH * months for name, size in sizes.items()}

    def job_of(group: list[str]) -> Asked[SurveyJob]:
        given = expected, market.part(group), "", tuple(group), memory
        return Asked(name_of("survey", str(findings), *group), SurveyJob(*given, findings))

    def performed() -> Iterator[tuple[SurveyJob, Done]]:
        """Each job and what it returned; of one that ended its workers, its underlyings alone."""
        lost = list[str]()
        for asked, done in workers.run(map(job_of, grouped(names, weights, SURVEYED))):
            if done.is_lost:
                lost += asked.job.symbols
            else:
                yield asked.job, done
        singles = (job_of([symbol]) for symbol in lost)
        for asked, done in workers.run(
            (each._replace(name=f"{each.name}-alone") for each in singles), alone=True
        ):
            yield asked.job, done

    digests, found, failed = dict[str, pl.DataFrame](), dict[str, Findings](), dict[str, str]()
    for job, done in performed():
        failed |= dict(done.failures)
        if done.is_lost:
            continue
        frames = unpacked(done.frames)
        digests[job.symbols[0]] = frames.pop("digests")
        if findings:
            joined = Findings(**frames)
            found |= {symbol: joined.only({symbol}) for symbol in job.symbols}
    every = [pl.DataFrame(schema=DIGESTS), *(digests[name] for name in sorted(digests))]
    if market.is_verified:
        every.insert(0, market.digests.filter(~pl.col("underlying").is_in(names)))
    usable = {name: each for name, each in found.items() if name not in failed}
    market.hold(pl.concat(every).unique(maintain_order=True), usable, unread=failed)
    return failed
