"""`fetch`: completing a lake with data from Databento, priced before they are paid for.

    plan -> price -> stop over max_cost, or confirm -> download, a few at a time -> check -> lake

After any interruption the lake is complete up to some sessions, and the next run goes on there.
"""

import datetime as dt
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from wheelvec.lake import answers
from wheelvec.lake.place import check_writable
from wheelvec.model.addresses import refuse_address
from wheelvec.model.config import Config
from wheelvec.model.errors import DataError, FetchError, InputError, cut, listed
from wheelvec.model.fields import plain, real
from wheelvec.model.forks import refuse_forked
from wheelvec.model.progress import Progress, Report, reporting
from wheelvec.tables.sessions import Sessions
from wheelvec.vendors.databento import incoming, intake, venues
from wheelvec.vendors.databento.incoming import Download
from wheelvec.vendors.databento.plan import (
    AGAIN,
    Plan,
    Ranges,
    Wanted,
    covered,
    has_summary,
    overview,
    plan,
    refetched,
    wanted,
)
from wheelvec.vendors.databento.requests import MINUTES, OPTIONS, SUMMARY, Request, entry_of

if TYPE_CHECKING:
    from wheelvec.vendors.databento.client import Client

log = logging.getLogger(__name__)

PARALLEL = 4  # requests at a time
# Databento sells the newest day or so to holders of a live licence only
_RECENT = dt.timedelta(hours=48)

NOTHING, MISSED = "nothing", "missed"

T = TypeVar("T")


@dataclass(frozen=True)
class Fetched:
    """The plan, the cost and the notes of a fetch.

    Attributes:
        plan: one row per underlying, table and source, with the number of sessions by their state
            before the fetch: `held` by the lake, known to be `empty`, `closed` (the exchange had
            closed by the entry minute), `later` (not published yet), `lacking`, `again` (held or
            empty, and requested again: named by `refetch`, or empty though other tables have rows
            of the session); then `requests` and `dollars` for the last two.
        cost: the price of the requests, in dollars.
        paid: the dollars charged, repeated downloads included; 0 for a dry run.
        notes: data that are not available or doubtful, and what to do about it.

    Example:
        >>> import polars as pl
        >>> from wheelvec.vendors.databento.fetch import Fetched
        >>> Fetched(plan=pl.DataFrame(), cost=1.25).paid  # of a dry run
        0.0
    """

    plan: pl.DataFrame
    cost: float
    paid: float = 0.0
    notes: tuple[str, ...] = ()


def fetch(
    *,
    symbols: str | Sequence[str] | None = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    lake: str | Path,
    max_cost: float | None = None,
    entry_time: str | None = None,
    schema: str = "cmbp-1",
    look_back: int = 0,
    config: Config | None = None,
    refetch: tuple[str | dt.date, str | dt.date] | None = None,
    gateway: str | None = None,
    dry_run: bool = False,
    confirm: Callable[[Fetched], bool] | None = None,
    progress: Progress = None,
) -> Fetched:
    """Fetch from Databento the data that a lake lacks for backtests of a range of entry sessions.

    The key is read from DATABENTO_API_KEY. Needed are the quotes of the entry minute from the first
    entry session to the last session on which a call may be sold, and daily bars to the last
    settlement, by the `dte_max`, `call_wait_sessions` and `max_cycles` of `config`. Sessions that
    the lake has, or that were found empty before, are neither priced nor fetched again. But an
    empty answer is doubted if another table of the underlying has rows of that session: it is named
    in the notes, and requested again by the next fetch.

    Args:
        symbols: underlyings, such as "TSLA" or "BRK.B"; None for those of `config`.
        start: first entry session; None for that of `config`.
        end: last entry session, inclusive; None for that of `config`.
        lake: a local folder, made if need be; one that holds anything else than a lake is refused.
        max_cost: dollars. Nothing is spent if the plan costs more, and repeated downloads stop
            there too. With None nothing is spent without a `confirm`.
        entry_time: "15:45", or "close-15min"; None for that of `config`. A lake may hold several.
        schema: the schema of the quotes: "cmbp-1" (every change, from 2023-03-28; before that
            cbbo-1m is used) or "cbbo-1m".
        look_back: minutes before the entry minute in which a contract's quote may have changed last
            and still count. Such quotes are stamped with the start of the entry minute; their ages
            are in the lake's quote_ages.
        config: None for `Config()`.
        refetch: first and last session, such as ("2024-01-02", "2024-01-31"). Data of these
            sessions that the lake has and this fetch needs are priced and requested again. Rows
            that arrive replace the lake's; an empty answer leaves them.
        gateway: another address of the API.
        dry_run: only plan and price.
        confirm: called with the priced plan before money is spent; if it returns False, nothing is
            spent.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with (answers
            in the lake, requests).

    Raises:
        InputError: for a bad argument, a symbol that Databento does not know, a range before the
            data begin, or if the packages of Databento are not installed.
        FetchError: for a plan over `max_cost`, or a refusal; data fetched before stay.
        LakeError: if the lake cannot be written or is none, or one of its files is damaged or
            misplaced.

    Example:
        A dry run needs the key and the network, and spends nothing:

        >>> import wheelvec as wv
        >>> january = {"start": "2024-01-02", "end": "2024-01-31"}
        >>> wanted = {"symbols": ["TSLA"], **january, "lake": "lake/"}
        >>> priced = wv.fetch(**wanted, dry_run=True)  # doctest: +SKIP
        >>> print(priced.cost)  # doctest: +SKIP
        >>> fetched = wv.fetch(**wanted, max_cost=5.0)  # doctest: +SKIP
    """
    refuse_forked()
    if max_cost is not None and ((dollars := real(plain(max_cost))) is None or dollars < 0):
        raise InputError(f"max_cost = {cut(max_cost)}: expected dollars, at least 0, or None")
    given = Config() if config is None else config
    needed = replace(
        wanted(given, symbols, start, end, entry_time, schema, look_back),
        refetch=refetched(refetch),
    )
    root = local_folder(lake)
    require_databento()
    from wheelvec.vendors.databento.client import Client

    client = Client(os.environ.get("DATABENTO_API_KEY", ""), gateway)
    held = incoming.reserved(root, needed.symbols)
    with held, client.kept_from_logs(), reporting(progress, "requests") as report:
        run = _Run(client, root, needed, max_cost)
        run.take_leftovers()
        priced = run.price(report)
        if dry_run or not run.plan.requests:
            return priced
        if confirm is not None and not confirm(priced):
            return priced
        run.check_budget(priced, asked=confirm is not None)
        return run.download(priced, report)


def require_databento() -> None:
    """Check that the packages that Databento needs are installed.

    Raises:
        InputError: if one is not.
    """
    try:
        from wheelvec.vendors.databento import client  # noqa: F401
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("databento_dbn", "tenacity", "zstandard", "requests", "urllib3"):
            raise
        raise InputError(
            f"Databento needs packages that are not installed ({missing} is missing): "
            "run pip install '.[databento]' in a clone of wheelvec's repository"
        ) from None


def local_folder(lake: str | Path) -> Path:
    """The path of a lake to write to.

    Raises:
        LakeError: for an address of an object store, and for a folder that holds anything else than
            a lake.
    """
    refuse_address(lake, "the lake")
    check_writable(Path(lake))
    return Path(lake)


@dataclass
class _Run:
    """One fetch. Threads download; only the caller's thread writes to the lake."""

    client: "Client"
    root: Path
    wanted: Wanted
    max_cost: float | None
    paid: float = 0.0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.ranges: Ranges = {
                name: self.client.ranges(name) for name in (OPTIONS, *MINUTES, SUMMARY)
            }
        except FetchError as error:
            raise _explained(error, self.client.gateway) from None
        if not self.ranges[OPTIONS]:
            raise FetchError(f"{self.client.gateway} has no {OPTIONS}")
        self.prices: dict[Request, float] = {}
        self._unknown: set[Request] = set()
        self._paying = threading.Lock()

    @property
    def sessions(self) -> Sessions:
        return covered(self.wanted, self.ranges)

    def take_leftovers(self) -> None:
        for symbol in self.wanted.symbols:
            for download in incoming.left(self.root, symbol):
                log.info("taking in %s, paid for by an earlier run", download.path.name)
                try:
                    self._take(download)
                except DataError as error:
                    log.warning("%s %s: it will be fetched again", download.path, error)
                    download.remove()
            intake.make_missing_bars(self.root, symbol, self._official())

    def _official(self) -> list[dt.date]:
        return [
            day for day in self.sessions.frame["session"].to_list() if has_summary(self.ranges, day)
        ]

    # ---- the cost

    def price(self, progress: Report | None) -> Fetched:
        self.plan: Plan = self._plan(self.wanted)
        self._refuse_idle_refetch()

        def use(request: Request, price: float | None) -> None:
            self.prices[request] = price or 0.0
            self._unknown |= {request} if price is None else set()
            if progress:
                progress(len(self.prices), len(self.plan.requests))

        self._parallel(self._price, self.plan.requests, use)
        self._refuse_unknown_symbols()
        self._note_later()
        cost = sum(self.prices[request] for request in self.plan.requests)
        doubts = _doubts(
            self._plan(replace(self.wanted, refetch=None)) if self.wanted.refetch else self.plan
        )
        return Fetched(
            overview(self.plan, self.prices.__getitem__), cost, notes=(*self.notes, *doubts)
        )

    def _plan(self, wanted: Wanted) -> Plan:
        return plan(self.root, wanted, self.ranges, (dt.datetime.now(dt.UTC) - _RECENT).date())

    def _refuse_idle_refetch(self) -> None:
        if self.wanted.refetch and not any(need.state == AGAIN for need in self.plan.needs):
            first, last = self.wanted.refetch
            raise InputError(
                f"refetch: of {first} to {last} the lake has nothing that entries from "
                f"{self.wanted.start} to {self.wanted.end} need; leave it out to fetch what is "
                "lacking"
            )

    def _price(self, request: Request) -> float | None:
        """The price in dollars; None if Databento does not know the symbol at that time."""
        try:
            return self.client.cost(request)
        except FetchError as error:
            if error.case == "symbology_invalid_request":
                return None
            raise _explained(error, request) from None

    def _refuse_unknown_symbols(self) -> None:
        for symbol in self.wanted.symbols:
            for dataset in {
                request.dataset for request in self.plan.requests if request.underlying == symbol
            }:
                mine = [
                    request
                    for request in self.plan.requests
                    if (request.underlying, request.dataset) == (symbol, dataset)
                ]
                known = answers.recorded(self.root, symbol).filter(
                    (pl.col("dataset") == dataset) & (pl.col("rows") > 0)
                )
                if self._unknown.issuperset(mine) and known.is_empty():
                    raise InputError(
                        f"unknown symbol {symbol!r}: {dataset} knows nothing by the name "
                        f"{mine[0].name} from {self.wanted.start} on; check spelling (as in BRK.B) "
                        "and name of that time; nothing was spent"
                    )

    def _note_later(self) -> None:
        later = sorted({need.session for need in self.plan.needs if need.state == "later"})
        if later:
            self.notes.append(
                f"{len(later)} sessions, {later[0]} to {later[-1]}, are not published yet: wheels "
                "that reach them stay open; run the same command again later"
            )
        closed = sorted({need.session for need in self.plan.needs if need.state == "closed"})
        if closed:
            days = ", ".join(map(str, closed[:5])) + (" and more" if len(closed) > 5 else "")
            self.notes.append(
                f"the exchange had closed by {self.wanted.entry_time} on {days}: no quotes; an "
                "entry time such as 'close-15min' follows early closes"
            )
        older = {
            need.session
            for need in self.plan.needs
            if need.schema == "cbbo-1m" != self.wanted.schema
        }
        if older:
            self.notes.append(
                f"{len(older)} sessions are before {self.wanted.schema} begins: "
                "cbbo-1m is taken for them"
            )

    def check_budget(self, priced: Fetched, asked: bool) -> None:
        if self.max_cost is None and not asked and priced.cost > 0:
            raise FetchError(
                f"this would cost ${priced.cost:,.2f}, and nothing says that it may: "
                "pass max_cost, or dry_run=True to see the plan"
            )
        if self.max_cost is not None and priced.cost > self.max_cost:
            raise FetchError(
                f"this would cost ${priced.cost:,.2f}, more than the ${self.max_cost:,.2f} of "
                "max_cost: nothing was spent; raise it, or ask for less"
            )

    def _pay(self, request: Request) -> Callable[[], None]:
        def pay() -> None:
            with self._paying:
                if (
                    self.max_cost is not None
                    and self.paid + self.prices[request] > self.max_cost + 1e-9
                ):
                    raise FetchError(
                        f"${self.paid:,.2f} were spent, downloads that failed included: "
                        "max_cost is reached"
                    )
                self.paid += self.prices[request]

        return pay

    # ---- the data

    def download(self, priced: Fetched, progress: Report | None) -> Fetched:
        """Download and import the answers: minutes first, because quotes need their price."""
        minutes = [
            request for request in self.plan.requests if request.table == "underlying_minutes"
        ]
        others = [
            request for request in self.plan.requests if request.table != "underlying_minutes"
        ]
        done, missed = 0, set[Request]()

        def use(request: Request, answer: Download | str) -> None:
            nonlocal done, missed
            if isinstance(answer, Download):
                self._take(answer)
            elif answer is NOTHING:
                self._note_nothing(request)
            else:
                missed |= {request}
            done += 1
            if progress:
                progress(done, len(self.plan.requests))

        try:
            self._parallel(self._download, minutes, use)
            unpriced = {(request.underlying, request.sessions) for request in missed}
            priced_ones = [
                a
                for a in others
                if a.table != "option_quotes" or (a.underlying, a.sessions) not in unpriced
            ]
            self._parallel(self._download, priced_ones, use)
        except FetchError as error:
            raise FetchError(
                f"{error}; {done:,} of {len(self.plan.requests):,} answers are in the lake and "
                "stay there: run the same command again to go on",
                error.status,
                error.case,
            ) from None
        if missed:
            days = sorted({request.sessions[-1] for request in missed})
            self.notes.append(
                f"Databento sells the newest data, up to {days[-1]}, to holders of a live licence "
                f"only (403): {len(missed)} requests were left out; run the same command again a "
                "day later"
            )
        doubts = _doubts(self._plan(replace(self.wanted, refetch=None)))
        return Fetched(priced.plan, priced.cost, self.paid, (*self.notes, *doubts))

    def _download(self, request: Request) -> Download | str:
        """The download; NOTHING for a symbol unknown at that time; MISSED if not available yet."""
        try:
            return incoming.keep(
                self.root, request, self.client.download(request, self._pay(request))
            )
        except FetchError as error:
            if error.case == "symbology_invalid_request":
                return NOTHING
            if error.status == 403 and request.end > dt.datetime.now(dt.UTC) - _RECENT:
                return MISSED
            raise _explained(error, request) from None

    def _note_nothing(self, request: Request) -> None:
        """Record an empty answer, for sessions on which the symbol did not exist."""
        entry = (
            entry_of(request.schema, request.start, request.end)
            if request.table == "option_quotes"
            else (None, 0)
        )
        answers.record(
            self.root,
            request.underlying,
            request.table,
            dict.fromkeys(request.sessions, 0),
            (request.dataset, request.schema),
            *entry,
        )

    def _take(self, download: Download) -> None:
        """Import a download, of this run or of an earlier one, and remove its file."""
        fields = intake.FIELDS.get(download.table, venues.BAR_FIELDS)
        from wheelvec.vendors.databento.opra import decoded

        records = decoded(download.path.read_bytes(), fields)
        intake.take(
            self.root,
            download,
            records,
            self.wanted.calendar,
            lambda day: has_summary(self.ranges, day),
        )
        download.remove()

    def _parallel(
        self,
        call: Callable[[Request], T],
        requests: Sequence[Request],
        use: Callable[[Request, T], None],
    ) -> None:
        """Call `call` for every request in a few threads, and `use` with each result in this one.

        After an error no further call begins. Calls under way are waited for, because they are paid
        for and will be on disk.
        """
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            futures = {pool.submit(call, request): request for request in requests}
            for future in as_completed(futures):
                use(futures[future], future.result())
        except BaseException:
            self.client.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _doubts(plan: Plan) -> list[str]:
    """Notes on sessions of which a table was found empty though other tables have rows.

    One note per underlying and table.
    """
    found: dict[tuple[str, str], list[dt.date]] = {}
    for need in plan.needs:
        if need.state == AGAIN:
            found.setdefault((need.symbol, need.table), []).append(need.session)
    return [
        f"{symbol}: Databento gave no {table} of {len(days)} session{'s' * (len(days) > 1)} of "
        f"which the lake has other rows ({listed(days, most=5)}); the next fetch asks for it again"
        for (symbol, table), days in found.items()
    ]


def _explained(error: FetchError, what: object) -> FetchError:
    """The FetchError of a refusal, with advice on what to do."""
    hints = {
        401: "Databento refuses the key: check DATABENTO_API_KEY",
        402: "the account has no credit left: add some at databento.com/portal/billing, or ask for "
        "less",
        403: "the account has no licence for this: see databento.com/portal/subscription, or ask "
        "for older data",
        404: "the gateway does not know this",
    }
    hint = hints.get(error.status or 0)
    return FetchError(
        f"{what}: " + (f"{hint} ({error})" if hint else str(error)), error.status, error.case
    )
