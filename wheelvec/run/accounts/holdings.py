"""Some accounts side by side over a market, session by session (kernels.holdings)."""

import datetime as dt
import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from wheelvec.jit.dispatch import compiled_for
from wheelvec.kernels import holdings as kernel
from wheelvec.kernels.account import ACCOUNT, GROUP, MARK, STEP, STRETCH
from wheelvec.kernels.account import LEG as MARKED_LEG
from wheelvec.kernels.entries import new_selection
from wheelvec.kernels.outcomes import doubled, new_outcomes
from wheelvec.kernels.record import new_workspace
from wheelvec.market.market import Market
from wheelvec.model.account import ORDERS, Account
from wheelvec.model.grid import Codes, combined, dense, first_of
from wheelvec.model.schemas import EVENTS, UNDERLYING_CLOSES
from wheelvec.run.accounts.limits import account_rate, limits_of
from wheelvec.run.context import Array, Context, HeldSpan
from wheelvec.run.slicing.histories import history_of
from wheelvec.run.slicing.slices import ChainKey, HeldSlice
from wheelvec.run.work import Work
from wheelvec.stages.accounting import Valued, mark_deltas
from wheelvec.stages.arrays import days, underlying_arrays
from wheelvec.stages.benchmarks import Money, buy_and_hold, grown, lots, moves
from wheelvec.stages.benchmarks import cash as cash_alone
from wheelvec.stages.book import Instruments, instruments_of, last_closes
from wheelvec.stages.chain import rates
from wheelvec.stages.contracts import is_put
from wheelvec.stages.happened import event_rows
from wheelvec.stages.metric_arrays import (
    Resolved,
    Used,
    Values,
    relative_values,
    series_values,
    use_values,
    wheel_values,
)
from wheelvec.stages.metrics import SKIPPED, riskless
from wheelvec.stages.outcomes import spans
from wheelvec.stages.paths import closes_between

BYTES_A_SESSION = kernel.DAY.itemsize + 48  # of an account, with its figures
WAITS = 10  # sessions after the last settlement on which a wheel may still end
CAPACITY = 4096  # rows of buffers at first
FEW_WHEELS = 64  # of an account, that the buffers hold at first


class _Underlying:
    """One underlying over the sessions of the accounts."""

    def __init__(self, instruments: Instruments, at: int, gain: Array, before: Array) -> None:
        self.worth = kernel.Worth(
            instruments.close[at : at + 1].copy(),
            instruments.grown[at].copy(),
            instruments.worth[at].copy(),
            gain,
            before,
        )
        self.last_close = last_closes(instruments)[at]


class _Legs:
    """The marks of the contracts of a slice, and the legs of it that accounts held."""

    def __init__(self, held: HeldSlice, symbol: int, sessions: int, capacity: int) -> None:
        self.held, self.symbol = held, symbol
        contracts, quotes = held.slice_.contracts.size, held.quotes
        contract = quotes.contract.astype(np.int64)
        self.marks = kernel.Marks(
            begin=np.full(contracts, -1, np.int64),
            first=np.zeros(contracts, np.int64),
            last=np.zeros(contracts, np.int64),
            is_call=~is_put(held.contracts.key),
            quote_starts=np.searchsorted(contract, np.arange(contracts + 1)),
            number=quotes.number.astype(np.int64),
            bid=quotes.bid.astype(np.float64),
            ask=quotes.ask.astype(np.float64),
            spot=quotes.spot.astype(np.float64),
            marks=np.zeros(CAPACITY, MARK),
            leg=np.zeros(1, MARKED_LEG),
            stretches=np.zeros(held.slice_.events.size + 2, STRETCH),
            path=np.zeros(sessions + 1, STEP),
            size=np.zeros(1, np.int64),
        )
        self.exposed, self.used = np.zeros(capacity, kernel.EXPOSED), np.zeros(1, np.int64)

    def grow(self, full: int) -> None:
        """Double the buffer that is full."""
        if full == kernel.MARKS:
            self.marks = self.marks._replace(marks=_doubled(self.marks.marks))
        elif full == kernel.LEGS:
            self.exposed = _doubled(self.exposed)


def _doubled(table: Array) -> Array:
    out = np.zeros(2 * table.size, table.dtype)  # memory that is never written is never used
    out[: table.size] = table
    return out


class Holdings:
    """The accounts of some rows of a grid, with one chain key and one first session.

    Args:
        market: the tables.
        context: the grid, which has an account, over this market.
        chain_key: of the rows.
        rows: (accounts,) rows of the grid.
        zero: the number of the first session.

    Raises:
        InputError: if the rates of an account begin after the first session.
    """

    def __init__(
        self, market: Market, context: Context, chain_key: ChainKey, rows: Codes, zero: int
    ) -> None:
        self._market, self._context, self._chain_key = market, context, chain_key
        self._zero = zero
        work = self._work = Work(context, chain_key, rows, False)
        self._rows = rows[work.order]
        sessions = context.sessions[chain_key]
        self._begin_schedules(rows)
        self._slices: dict[int, _Legs] = {}
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._frames = [self._frames_of(symbol) for symbol in context.symbols]
        self._sessions = sessions[zero : self._stop()]
        self._day = days(self._sessions, "session")
        self._begin_underlyings()
        self._begin_accounts()
        capacity = CAPACITY + 4 * FEW_WHEELS * rows.size
        self._held, self._size = np.zeros(capacity, kernel.HELD), np.zeros(1, np.int64)
        self._out = new_outcomes(8, 1, 0)
        self._run()
        self._ends = self._find_ends()

    # ---- before the first session

    def _begin_schedules(self, rows: Codes) -> None:
        """The underlyings of each schedule in their order, and its last entry session."""
        context = self._context
        rules = context.entry_rules.of_row[rows]
        schedule, count = dense(rules)
        self._symbols = np.full((count, len(context.symbols)), -1, np.int64)
        place = {symbol: i for i, symbol in enumerate(context.symbols)}
        self._last_entry = np.zeros(count, np.int64)
        for i, at in enumerate(first_of(schedule, count).tolist()):
            named = context.grid.value("schedule.symbols", int(rows[at]))
            names = self._market.symbols if named is None else named
            here = [place[name] for name in names if name in place]  # not of failed underlyings
            self._symbols[i, : len(here)] = here
            opens = np.flatnonzero(context.opens[self._chain_key][rules[at]])
            self._last_entry[i] = opens[-1] - self._zero if opens.size else 0
        self._schedule_of = self._work.plan.common["schedule"]

    def _frames_of(self, symbol: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The closes and the events of an underlying, as a result has them."""
        market, sessions = self._market, self._context.sessions[self._chain_key]
        past = history_of(market, symbol, sessions)
        underlying = underlying_arrays(market.closes, sessions, past.names)
        closes = closes_between(underlying, self._zero, sessions.height - 1, symbol)
        rows = event_rows(symbol, past, market.splits, market.dividends, sessions)
        start = sessions["session"][self._zero]
        last = max(start, self._context.last or start)
        return closes, rows.filter(pl.col("session").is_between(start, last))

    def _stop(self) -> int:
        """One past the last session on which any wheel can be open."""
        sessions = self._context.sessions[self._chain_key]
        day = days(sessions, "session")
        last = int(day[self._zero + int(self._last_entry.max(initial=0))])
        if self._context.last is not None:
            last = max(last, int(np.datetime64(self._context.last, "D").astype(np.int64)))
        return min(day.size, int(np.searchsorted(day, last + self._context.dte_max)) + WAITS)

    def _spans(self, wanted: list[Any]) -> list[HeldSpan]:
        return self._context.with_slices(self._chain_key, wanted)

    def _begin_underlyings(self) -> None:
        symbols, n = self._context.symbols, self._day.size
        # a market without quotes has no underlying
        self._closes = pl.concat(
            [pl.DataFrame(schema=UNDERLYING_CLOSES), *(closes for closes, _ in self._frames)]
        )
        self._events = pl.concat(
            [pl.DataFrame(schema=EVENTS), *(events for _, events in self._frames)]
        )
        instruments = instruments_of(symbols, self._closes, self._events, self._day)
        held = lots(self._closes, self._events, self._sessions["session"])
        gain, before = moves(held)
        self._underlyings = []
        for at, symbol in enumerate(symbols):
            known = symbol in held.names
            place = held.names.index(symbol) if known else 0
            moved = (gain[:, place].copy(), before[:, place].copy()) if known else ()
            self._underlyings.append(
                _Underlying(instruments, at, *(moved or (np.zeros(n), np.zeros(n))))
            )
        close = instruments.close
        bars = np.where(np.isnan(close), 0, np.arange(n)).max(axis=1, initial=0)
        of = np.where(self._symbols >= 0, bars[self._symbols], 0)
        self._last_bar = of.max(axis=1, initial=0)

    def _begin_accounts(self) -> None:
        plan, symbols = self._work.plan, len(self._context.symbols)
        k = self._rows.size
        sizes = np.diff(plan.config_starts)
        block = np.repeat(np.arange(sizes.size), sizes)
        of_row, accounts = self._distinct_accounts()
        limits, self._earned = self._limits(accounts)
        account = np.zeros(k, ACCOUNT)
        self._start = limits["cash"][of_row]
        account["cash"] = account["equity"] = self._start
        day = np.zeros((k, self._day.size), kernel.DAY)
        self._accounts = kernel.Accounts(
            account=account,
            group=np.zeros((k, symbols), GROUP),
            limits=limits[of_row],
            days=day,
            reasons=np.zeros((k, len(SKIPPED) + 1), np.int64),
            block=block,
            config=np.arange(k) - plan.config_starts[block],
            busy=np.full((k, symbols), -1, np.int64),
            open=np.zeros((k, symbols), np.bool_),
            zero=self._zero,
            first_position=np.zeros(1, np.uint32),
        )

    def _distinct_accounts(self) -> tuple[Codes, list[Account]]:
        grid = self._context.grid
        keys = [
            (grid.columns[name].codes[self._rows], len(grid.columns[name].values))
            for name in grid.account_fields
        ]
        code, count = dense(combined(keys, self._rows.size))
        return code, [grid.account_of(int(self._rows[at])) for at in first_of(code, count)]

    def _limits(self, accounts: list[Account]) -> tuple[Array, Array]:
        """(accounts,) of LIMITS, and (rates, sessions) what a dollar of cash earns."""
        out = np.zeros(len(accounts), kernel.LIMITS)
        curves: dict[Any, int] = {}
        for row, account in zip(out, accounts, strict=True):
            for name, value in limits_of(account)._asdict().items():
                row[name] = value
            row["order"], row["seed"] = ORDERS.index(account.order), account.seed
            row["rate"] = curves.setdefault(account.rate, len(curves))
        earned = [riskless(self._day, account_rate(curve, self._sessions)) for curve in curves]
        return out, np.array(earned)

    @cached_property
    def _pricing(self) -> tuple[Array, Array]:
        """(sessions,) each: the interest rate and the dividend yield of the chain key."""
        curves = self._chain_key.rate, self._chain_key.dividend_yield
        rate, paid = (rates(curve, self._sessions, dt.date.max, "rate") for curve in curves)
        return rate, paid

    # ---- session by session

    def _run(self) -> None:
        sizes = self._work.sizes
        self._chosen = new_selection(sizes.sessions, sizes.quotes)
        self._workspace = new_workspace(1, 1, sizes.bars, sizes.calls_on_offer)
        blocks, symbols = self._work.plan.common.size, len(self._context.symbols)
        none = np.zeros((symbols, blocks, 2), np.int64)
        nothing = self._new_offers(0)
        t = self._zero
        for _, month in itertools.groupby(self._work.spans, lambda span: span[0][0]):
            found = self._spans(list(month))
            first, last = found[0][2:]
            for gap in range(t, first):
                self._session(gap, 0, none, nothing, {})
            self._let_go([id(held) for _, held, *_ in found])
            offers, starts, of_symbol = self._offers(found)
            for open_ in range(max(t, first), last + 1):
                self._session(open_, open_ - first, starts, offers, of_symbol)
            t = last + 1
        for rest in range(t, self._zero + self._day.size):
            self._session(rest, 0, none, nothing, {})
        self._let_go([])

    def _let_go(self, kept: list[int]) -> None:
        """Add what share equivalents gained in the slices that are not needed any more."""
        for key in [key for key in self._slices if key not in kept]:
            self._add_deltas(self._slices.pop(key))

    def _new_offers(self, n: int) -> kernel.Offers:
        kinds = {"ivp": np.float64, "price": np.float64, "capital": np.float64, "word": np.uint64}
        names = kernel.Offers._fields
        return kernel.Offers(*[np.empty(n, kinds.get(name, np.int64)) for name in names])

    def _offers(self, found: list[HeldSpan]) -> tuple[kernel.Offers, Array, dict[int, HeldSlice]]:
        """The puts that are sold in a month, by underlying, block and session."""
        context, plan, chosen = self._context, self._work.plan, self._chosen
        first, last = found[0][2:]
        least = context.grid.least("put.dte_min"), context.grid.most("put.dte_max")
        delta = context.grid.least("put.delta_min"), context.grid.most("put.delta_max")
        within = [
            int(held.puts_within((*least, *delta))[first : last + 1].sum()) for _, held, *_ in found
        ]
        # most of it is never written, and takes no memory then
        offers = self._new_offers(sum(within) * plan.common.size)
        starts = np.zeros((len(context.symbols), plan.common.size, last + 2 - first), np.int64)
        used, of_symbol = 0, {}
        for (_, name), held, *_ in found:
            symbol = context.symbols.index(name)
            opens = self._work.opens_on(name)
            given = held.slice_, opens, first, last, plan, chosen, used, offers, starts[symbol]
            used = self._call(kernel.offer_puts, held, *given)
            of_symbol[symbol] = held
        return offers, starts, of_symbol

    def _call(self, function: Callable[..., Any], held: HeldSlice | None, *given: Any) -> Any:
        """The value of a kernel whose arguments have types that follow from the slice's."""
        key = function, held and held.kind
        if key not in self._compiled:
            self._compiled[key] = compiled_for(function, *given)
        return self._compiled[key](*given)

    def _session(
        self,
        t: int,
        s: int,
        starts: Array,
        offers: kernel.Offers,
        of_symbol: dict[int, HeldSlice],
    ) -> None:
        """One session of all accounts.

        Args:
            t: the session.
            s: its place in the month.
            starts: (underlyings, blocks, sessions of the month + 1) of the offers.
            offers: of the month.
            of_symbol: the slices of the underlyings.
        """
        plan, accounts = self._work.plan, self._accounts
        if plan.common["one_at_a_time"].any():
            for symbol, held in of_symbol.items():
                self._launch_alone(held, symbol, s, starts, offers)
        most = int((starts[:, :, s + 1] - starts[:, :, s]).sum(axis=0).max(initial=0))
        place, key = np.zeros(most, np.int64), np.zeros(most)
        done, before = 0, int(self._size[0])
        while done < self._rows.size:
            rest = accounts, place, key, self._held, self._size
            symbols, earned = self._symbols, self._earned
            given = t, s, done, starts, offers, symbols, plan, earned, *rest
            done = self._call(kernel.admit, None, *given)
            if done < self._rows.size:
                self._held = _doubled(self._held)
        new = self._held[before : int(self._size[0])]
        # the offers of an underlying are side by side: so are the wheels of a put
        order = np.argsort(new["offer"], kind="stable")
        of_wheel = new["symbol"][order]
        begins = np.flatnonzero(np.diff(of_wheel, prepend=-1))
        for begin, end in itertools.pairwise([*begins.tolist(), order.size]):
            which, rows = int(of_wheel[begin]), before + order[begin:end]
            self._hold(of_symbol[which], which, rows, offers)
        self._call(kernel.close_session, None, t, accounts)

    def _launch_alone(
        self, held: HeldSlice, symbol: int, s: int, starts: Array, offers: kernel.Offers
    ) -> None:
        done = 0
        while done < self._rows.size:
            rest = self._work.plan, self._accounts, done, self._workspace, self._out
            given = held.slice_, symbol, s, starts, offers, *rest
            done = self._call(kernel.launch_alone, held, *given)
            if done < self._rows.size:
                self._out = doubled(self._out)

    def _hold(self, held: HeldSlice, symbol: int, rows: Array, offers: kernel.Offers) -> None:
        """Simulate wheels of one underlying that accounts took on a session."""
        legs = self._slices.get(id(held))
        if legs is None:
            capacity = CAPACITY + FEW_WHEELS * self._rows.size
            legs = self._slices[id(held)] = _Legs(held, symbol, self._day.size, capacity)
        done = 0
        while done < rows.size:
            worth = self._underlyings[symbol].worth
            given = rows, done, held.slice_, offers, self._work.plan, self._accounts, worth
            rest = legs.marks, self._workspace, self._out, self._held, legs.exposed, legs.used
            done, full = self._call(kernel.hold_wheels, held, *given, *rest)
            if full == kernel.OUTCOMES:
                self._out = doubled(self._out)
            legs.grow(full)

    # ---- after the last

    @property
    def _taken(self) -> Array:
        taken: Array = self._held[: int(self._size[0])]
        return taken

    def _find_ends(self) -> Array:
        """(accounts,) the last session of each."""
        taken, k = self._taken, self._rows.size
        schedule = self._schedule_of[self._accounts.block]
        ends = self._last_entry[schedule].copy()
        never = taken["end"] >= self._zero + self._day.size
        np.maximum.at(ends, taken["account"][~never], taken["end"][~never] - self._zero)
        some = np.bincount(taken["account"][never], minlength=k) > 0
        return np.asarray(np.where(some, np.maximum(ends, self._last_bar[schedule]), ends))

    def _add_deltas(self, legs: _Legs) -> None:
        """Add what the share equivalents of the options of a slice gained."""
        marks, underlying = legs.marks, self._underlyings[legs.symbol]
        made = np.flatnonzero(marks.begin >= 0)
        made = made[np.argsort(marks.begin[made])]
        session, of = spans(marks.first[made] - self._zero, (marks.last - marks.first + 1)[made])
        last = np.minimum(session, self._day.size - 1)
        rate, dividend_yield = self._pricing
        valued = Valued(
            expiration_day=legs.held.slice_.contracts["expiration_day"][made][of],
            day=self._day[last],
            is_call=marks.is_call[made][of],
            close=underlying.last_close[last],
            rate=rate[last],
            dividend_yield=dividend_yield[last],
        )
        some = marks.marks[: session.size]
        begins = np.diff(of, prepend=-1) > 0
        delta = mark_deltas(some, valued, np.full(session.size, np.nan), begins) * some["factor"]
        exposed = legs.exposed[: int(legs.used[0])]
        rest = underlying.worth, self._accounts.days, self._zero
        given = exposed, marks.begin, marks.first, delta, *rest
        self._call(kernel.add_deltas, None, *given)

    def equity(self) -> tuple[pl.Series, Array]:
        """The sessions, and (accounts, sessions) the equity, in the order of the rows; dollars."""
        last = np.arange(self._day.size) <= self._ends[:, None]
        values = np.where(last, self._accounts.days["equity"], np.nan)
        out = np.empty_like(values)
        out[self._work.order] = values
        return self._sessions["session"], out

    def metrics(self) -> Values:
        """(accounts,) each of the metrics, in the order of the rows; NaN where not defined."""
        k = self._rows.size
        rate = self._accounts.limits["rate"]
        schedule = self._schedule_of[self._accounts.block]
        key = combined([(self._ends, self._day.size), (rate, len(self._earned))], k)
        key = combined([(dense(key)[0], k), (schedule, len(self._last_entry))], k)
        group, count = dense(key)
        found: Values = {}
        for one in range(count):
            mine = np.flatnonzero(group == one)
            for name, values in self._daily(mine).items():
                found.setdefault(name, np.full(k, np.nan))[mine] = values
        found |= self._of_wheels()
        small = (found["taken"] == 0) & (found["skipped_too_small"] == found["skipped"])
        small &= (found["skipped"] > 0) & (self._accounts.limits["fraction"] > 0.0)
        counts = {"taken", "resolved", "skipped", *(f"skipped_{name}" for name in SKIPPED)}
        out = {}
        for name, values in found.items():
            values = values.astype(np.float64)
            if name not in counts:
                values[small] = np.nan
            out[name] = np.empty(k)
            out[name][self._work.order] = values
        return out

    def _daily(self, mine: Array) -> Values:
        """The metrics of the daily series of some accounts with one end, rate and schedule."""
        n, first = int(self._ends[mine[0]]) + 1, int(mine[0])
        block = self._accounts.days[mine, :n]
        start, earned = self._start[mine], self._earned[self._accounts.limits["rate"][first], :n]
        equity, day = np.ascontiguousarray(block["equity"]), self._day[:n]
        money = Money(start[:, None], earned)
        flows = block["gained"] - block["valued"] * earned
        beside = self._beside(self._schedule_of[self._accounts.block[first]], n, earned)
        one = Money(1.0, earned)
        benchmarks = {
            "buy_and_hold": beside[None] * start[:, None],
            "cash": cash_alone(one)[None] * start[:, None],
            "delta_matched": grown(money, flows),
        }
        used = Used(
            equity,
            block["cash"],
            block["collateral"] + block["shares"],
            block["traded"].sum(axis=1),
        )
        return (
            series_values(day, equity, start, earned)
            | relative_values(equity, benchmarks, start, earned)
            | use_values(used)
        )

    def _beside(self, schedule: int, n: int, earned: Array) -> Array:
        """(n,) the equity of a dollar in the underlyings of a schedule."""
        of = self._symbols[schedule]
        names = [self._context.symbols[i] for i in of[of >= 0]]
        session = self._sessions["session"][:n]
        closes = self._closes.filter(
            pl.col("underlying").is_in(names), pl.col("session") <= session[-1]
        )
        events = self._events.filter(pl.col("underlying").is_in(names))
        return buy_and_hold(lots(closes, events, session), Money(1.0, earned))

    def _by_exit(self) -> Array:
        """The resolved wheels by account, exit and record: one key, for speed."""
        taken = self._taken
        known = np.flatnonzero(~np.isnan(taken["pnl"]))
        sessions, most = self._zero + self._day.size, int(taken["place"].max(initial=0)) + 1
        end, place = taken["end"][known], taken["place"][known]
        key = (taken["account"][known] * sessions + end) * sessions + taken["entry"][known]
        return np.asarray(known[np.argsort(key * most + place)])

    def _of_wheels(self) -> Values:
        """The counts and figures of the wheels."""
        k, taken, reasons = self._rows.size, self._taken, self._accounts.reasons
        known = taken[self._by_exit()]
        secured = known["capital"] * (known["delivered"] - known["entry"])
        held = known["cost"] * (known["end"] - known["delivered"])
        capital = np.bincount(known["account"], secured + held, k) / (self._ends + 1)
        resolved = Resolved(
            *(known[name] for name in ("account", "pnl", "stock", "premium", "days"))
        )
        skipped = {f"skipped_{name}": reasons[:, i] for i, name in enumerate(SKIPPED, 1)}
        return {
            "taken": reasons[:, 0],
            "resolved": np.bincount(known["account"], minlength=k),
            "skipped": reasons[:, 1:].sum(axis=1),
            **skipped,
            **wheel_values(resolved, capital),
        }
