"""The workers of an executor verify the data of a market, so that no other process reads them."""

from collections.abc import Mapping

import polars as pl

from wheelvec.market.market import Market
from wheelvec.run.jobs import SurveyJob, unpacked, versions
from wheelvec.run.parts import grouped, name_of
from wheelvec.run.workers import Asked, Workers
from wheelvec.tables.anomalies import Findings

SURVEYED = 2**28  # bytes of files at most that one job surveys


def survey(
    market: Market,
    workers: Workers,
    sizes: Mapping[str, int],
    findings: bool,
    memory: int | None = None,
) -> dict[str, str]:
    """Let workers verify the data of a lake, and give the market what they found.

    What the market holds already is not read again, but for underlyings that could not be read.

    Args:
        market: of a lake; it holds the digests afterwards, and the findings.
        workers: of the executor.
        sizes: the bytes of the files of each underlying, as `Market.sizes` returns them.
        findings: whether anomalies are looked for too, of which warnings tell.
        memory: bytes that a job may take; None: a share of its worker's.

    Returns:
        The errors by underlying, of those whose data cannot be read.

    Raises:
        WheelvecError: if no worker can be used.
    """
    names = market.unsurveyed(findings)
    if not names:
        return {}
    expected, asked = versions(), list[Asked[SurveyJob]]()
    for group in grouped(names, sizes, SURVEYED):
        given = expected, market.part(group), "", tuple(group), memory
        asked.append(Asked(name_of("survey", str(findings), *group), SurveyJob(*given, findings)))
    digests, found, failed = dict[str, pl.DataFrame](), dict[str, Findings](), dict[str, str]()
    for (name, job), done in workers.run(asked):
        frames = unpacked(done.frames)
        digests[name] = frames.pop("digests")
        failed |= dict(done.failures)
        if findings:
            joined = Findings(**frames)
            found |= {symbol: joined.only({symbol}) for symbol in job.symbols}
    every = [digests[name] for name, _ in asked]
    if market.is_verified:
        every.insert(0, market.digests.filter(~pl.col("underlying").is_in(names)))
    usable = {name: each for name, each in found.items() if name not in failed}
    market.hold(pl.concat(every).unique(maintain_order=True), usable, unread=failed)
    return failed
