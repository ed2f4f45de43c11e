"""The account, as a plain Python program written from its clock (docs/portfolio.md).

It takes the frames of a result as lists of rows, goes through the sessions one by one, and looks
every mark and every close up. No kernel and no stage of the library is imported.
"""

from __future__ import annotations

import bisect
import datetime as dt
import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from . import pricer, wheel
from .events import half_up

Row = dict[str, Any]
SLACK = 1e-9
SHARES = ("share_purchase", "share_sale", "notebook_adjustment")
BOUGHT = ("stop_loss", "profit_target", "max_hold_dte", "corporate_action")
COLUMNS = (
    *("cash", "collateral", "shortfall", "options", "shares", "equity", "drawdown", "exposure"),
    *("open_wheels", "open_puts", "open_calls", "mark_age", "delta_dollars"),
    *("puts", "calls", "stock", "dividends", "fees", "interest"),
)


@dataclass
class Leg:
    """One leg of a wheel; dates are sessions."""

    row: Row
    is_call: bool
    sold: dt.date
    ended: dt.date | None
    frozen: dt.date | None = None  # the last session on which its mark may change; None: any


@dataclass
class Wheel:
    """One wheel on offer."""

    total: Row
    legs: list[Leg]
    cash: list[tuple[dt.date, str, float]] = field(default_factory=list)  # of one, without fees
    taken: int = 0
    reason: str | None = None

    @property
    def ended(self) -> dt.date | None:
        """The session of its end; None: it never resolves."""
        return self.total["exit_date"]

    @property
    def capital(self) -> float:
        """Initial capital, dollars."""
        return self.total["initial_capital"]

    @property
    def bought(self) -> dt.date | None:
        """The session on which shares were delivered."""
        put = self.legs[0]
        return put.ended if put.row["exit_reason"] == "assigned" else None


class Oracle:
    """One account over the wheels of one result.

    Args:
        frames: rows of records, ledger, paths, underlying, events and diagnostics.
        start: the schedule's first session.
        config: rules, calendar, costs, rate and dividend yield.
        account: the fields of the account.
    """

    def __init__(
        self, frames: dict[str, list[Row]], start: dt.date, config: Row, account: Row
    ) -> None:
        self.config, self.account, self.start = config, account, start
        self.calendar = wheel.calendar_of(config["calendar"])
        self.frames = frames
        self.closes: dict[str, dict[dt.date, float]] = {}
        for row in frames["underlying"]:
            self.closes.setdefault(row["underlying"], {})[row["session"]] = row["close"]
        self.paths = {(r["underlying"], r["symbol"], r["session"]): r for r in frames["paths"]}
        self.wheels = self._wheels()

    # ---- the wheels

    def _wheels(self) -> list[Wheel]:
        found: list[Wheel] = []
        legs: list[Leg] = []
        for row in self.frames["records"]:
            if row["phase"] != "total":
                leg = Leg(row, row["phase"] == "cc", row["entry_date"], row["exit_date"])
                if leg.ended is None:
                    leg.frozen = self.calendar.on_or_before(row["expiration"])
                    eve = self._eve_after(row["underlying"], leg.sold)
                    leg.frozen = min(leg.frozen, eve or leg.frozen)
                legs.append(leg)
                continue
            found.append(Wheel(row, legs))
            legs = []
        by_id = {each.total["wheel_id"]: each for each in found}
        for row in self.frames["ledger"]:
            if row["entry"] != "fees":
                cash = by_id[row["wheel_id"]].cash
                cash.append((self._session(row["date"]), row["entry"], row["amount"]))
        if self.config["rules"] != "v5":
            for each in found:
                each.cash += self._unresolved_dividends(each)
        return found

    def _session(self, day: dt.date) -> dt.date:
        """The session on which the cash of a day comes."""
        return self.calendar.sessions[bisect.bisect_left(self.calendar.sessions, day)]

    def _events(self, underlying: str, *kinds: str) -> list[Row]:
        return [
            row
            for row in self.frames["events"]
            if row["underlying"] == underlying and row["kind"] in kinds
        ]

    def _eve_after(self, underlying: str, session: dt.date) -> dt.date | None:
        """The eve of the first event after a session that is not carried through."""
        later = [
            row["session"]
            for row in self._events(underlying, "not_carried", "suspected")
            if row["session"] > session
        ]
        return self.calendar.before(min(later)) if later else None

    def _grown(self, underlying: str, after: dt.date, through: dt.date) -> int:
        """The shares that one share has become."""
        found = [
            round(row["ratio"])
            for row in self._events(underlying, "carried")
            if after < row["session"] <= through
        ]
        return math.prod(found)

    def _unresolved_dividends(self, of: Wheel) -> list[tuple[dt.date, str, float]]:
        if of.ended is not None or of.bought is None:
            return []
        name, put = of.total["underlying"], of.legs[0].row
        eve, found = self._eve_after(name, of.bought), []
        for row in self._events(name, "dividend"):
            day = self._session(row["ex_date"])
            if row["ex_date"] > of.bought and (eve is None or day <= eve):
                shares = 100 * put["factor"] * self._grown(name, of.bought, day)
                found.append((day, "dividend", shares * row["amount"]))
        return found

    # ---- what is owed and held

    def _symbol(self, leg: Leg, session: dt.date) -> tuple[str, int, float]:
        """The contract that stands for a leg's, for how many each, and its strike."""
        root, expiration, kind, milli = pricer.parse_symbol(leg.row["symbol"])
        factor, symbol = 1, leg.row["symbol"]
        name = leg.row["underlying"]
        for event in self._events(name, "carried"):
            if not leg.sold < event["session"] <= session:
                continue
            ratio = round(event["ratio"])
            cents = half_up(Fraction(milli, 10) / ratio)
            for special in self._events(name, "dividend"):
                if special["special"] and special["session"] == event["session"]:
                    cents = half_up(cents - 100 * Fraction(repr(special["amount"])))
            milli, factor = 10 * cents, factor * ratio
            root = event["root"] or root
            symbol = f"{root:<6}{expiration:%y%m%d}{kind}{milli:08d}"
        return symbol, factor, milli / 1000.0

    def mark(self, leg: Leg, session: dt.date) -> tuple[float, dt.date, Row | None]:
        """Dollars per share as sold, the session that it is of, and the quote if of this one."""
        until = session if leg.frozen is None else min(session, leg.frozen)
        price, since, fresh = math.nan, leg.sold, None
        for day in [leg.sold, *self.calendar.between(leg.sold, until)]:
            symbol, factor, _ = self._symbol(leg, day)
            row, fresh = self.paths.get((leg.row["underlying"], symbol, day)), None
            quoted = row is not None and row["bid"] is not None and row["ask"] is not None
            if quoted:
                price, since, fresh = (row["bid"] + row["ask"]) / 2 * factor, day, row
            elif row is not None and day > leg.sold and row["source"] == "bar":
                price, since = row["close"] * factor, day
        if since < until:
            price = max(price, self._intrinsic(leg, until))
        return price, since, fresh if until == session and since == session else None

    def _intrinsic(self, leg: Leg, session: dt.date) -> float:
        """At the last close up to the session, dollars per share as sold."""
        known = [day for day in self.closes.get(leg.row["underlying"], {}) if day <= session]
        if not known:
            return 0.0
        close = self.closes[leg.row["underlying"]][max(known)]
        _, factor, strike = self._symbol(leg, max(known))
        return factor * max(0.0, (close - strike) * (1 if leg.is_call else -1))

    def _open(self, leg: Leg, session: dt.date) -> bool:
        return leg.sold <= session and (leg.ended is None or session < leg.ended)

    def shares(self, of: Wheel, session: dt.date) -> tuple[float, float]:
        """The shares of one, and their value in dollars; 0 shares once nothing is known of them."""
        name, bought = of.total["underlying"], of.bought
        if bought is None or session < bought or (of.ended is not None and session >= of.ended):
            return 0.0, 0.0
        eve = self._eve_after(name, bought) if of.ended is None else None
        until = session if eve is None else min(session, eve)
        last = max(day for day in self.closes[name] if day <= until)
        first = 100 * of.legs[0].row["factor"]
        value = self.closes[name][last] * first * self._grown(name, bought, max(last, bought))
        number = first * self._grown(name, bought, until)
        return (number if until == session else 0.0), value

    # ---- the clock

    def fee(self, n: float) -> float:
        """The fee of one order of n contracts."""
        costs = self.config["costs"]
        commission = costs["commission_base"] + n * costs["commission_per_contract"]
        return max(costs["commission_minimum"], commission) + n * costs["sec_fee_per_contract"]

    def fees(self, of: Wheel, n: int) -> list[tuple[dt.date, float]]:
        """The fees of a wheel that is taken n times."""
        found = []
        for leg in of.legs:
            row = leg.row
            found.append((leg.sold, self.fee(n * row["contracts"])))
            if leg.ended is None:
                continue
            if row["exit_reason"] in BOUGHT:
                found.append((leg.ended, self.fee(n * row["contracts"] * row["factor"])))
            if row["exit_reason"] in ("assigned", "called_away"):
                found.append((leg.ended, self.config["costs"]["assignment_fee"]))
        return found

    def _key(self, item: tuple[int, Wheel]) -> tuple[float, int]:
        place, of = item
        put = of.legs[0].row
        if self.account["order"] == "premium":
            return -(put["premium"] / of.capital), place
        if self.account["order"] == "random":
            seed = self.account["seed"]
            return pricer.fill_draw(seed, put["symbol"], of.legs[0].sold, 2**32 - 1, 0), place
        return 0.0, place

    def run(self) -> list[Row]:
        """The days of the account."""
        entered = [row["session"] for row in self.frames["diagnostics"]]
        last_entry = max(entered, default=self.start)
        last_bar = max((max(days) for days in self.closes.values()), default=self.start)
        cash = equity = peak = self.account["cash"]
        before: Row = {"collateral": 0.0, "owed": {}, "shares": 0.0}
        out: list[Row] = []
        session = self.start
        while True:
            ends = [w.ended or last_bar for w in self.wheels if w.taken]
            if out and session > max([last_entry, *ends]):
                return out
            interest = self._interest(cash, out[-1]["session"] if out else None, session)
            cash += interest
            self._enter(session, cash - before["collateral"], equity)
            row, now = self._close(session, cash, interest, before)
            cash, equity = row["cash"], row["equity"]
            peak = max(peak, equity)
            row["drawdown"] = equity / peak - 1.0
            out.append(row)
            before = now
            session = self.calendar.after(session)

    def _interest(self, cash: float, last: dt.date | None, session: dt.date) -> float:
        if last is None:
            return 0.0
        rate = wheel.by_session(self.account["rate"], last)
        assert rate is not None
        return cash * math.expm1(rate * (session - last).days / 365)

    def _enter(self, session: dt.date, free: float, equity: float) -> None:
        """Take what can be carried of the wheels whose puts are sold on the session."""
        offered = [
            (place, of) for place, of in enumerate(self.wheels) if of.legs[0].sold == session
        ]
        for _, of in sorted(offered, key=self._key):
            open_ = [w for w in self.wheels if w.taken and (w.ended is None or w.ended >= session)]
            name = of.total["underlying"]
            mine = [w for w in open_ if w.total["underlying"] == name]
            of.reason, n = self._test(of, open_, mine, free, equity)
            if of.reason is None:
                of.taken = n
                free += (of.legs[0].row["premium"] - of.capital) * n - self.fee(n)

    def _test(
        self, of: Wheel, open_: list[Wheel], mine: list[Wheel], free: float, equity: float
    ) -> tuple[str | None, int]:
        limits = self.account
        n = limits["contracts"] or 0
        if limits["fraction"] is not None:
            n = max(0, math.floor(limits["fraction"] * equity / of.capital * (1 + SLACK)))
        needed = of.capital * n
        if n < 1:
            return "too_small", n
        if limits["max_wheels"] is not None and len(open_) >= limits["max_wheels"]:
            return "max_wheels", n
        most = limits["max_wheels_per_underlying"]
        if most is not None and len(mine) >= most:
            return "max_wheels_per_underlying", n
        share = limits["max_share_per_underlying"]
        held = sum(w.capital * w.taken for w in mine)
        if share is not None and held + needed > share * equity * (1 + SLACK):
            return "max_share_per_underlying", n
        if needed + self.fee(n) > free + SLACK * max(1.0, needed):
            return "no_cash", n
        return None, n

    def _close(
        self, session: dt.date, cash: float, interest: float, before: Row
    ) -> tuple[Row, Row]:
        """Cash of the day, and marks at the close."""
        kinds: Counter[str] = Counter()
        owed: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        collateral = shares = dollars = 0.0
        age = 0
        for of in [w for w in self.wheels if w.taken]:
            n = of.taken
            for day, entry, amount in of.cash:
                if day == session:
                    kinds[self._kind(of, day, entry, amount)] += n * amount
            kinds["fees"] -= sum(fee for day, fee in self.fees(of, n) if day == session)
            counts["open_wheels"] += of.ended is None or session < of.ended
            number, value = self.shares(of, session)
            shares += n * value
            dollars += n * number * self._last_close(of, session)
            for leg in [one for one in of.legs if self._open(one, session)]:
                price, since, quote = self.mark(leg, session)
                kind = "calls" if leg.is_call else "puts"
                owed[kind] += n * 100 * leg.row["contracts"] * price
                counts[f"open_{kind}"] += n
                age = max(age, self._sessions_between(since, session))
                collateral += 0.0 if leg.is_call else n * of.capital
                dollars += n * self._delta(of, leg, session, price, quote)
        cash += sum(kinds.values())
        equity = cash + shares - sum(owed.values())
        row = {
            "session": session,
            "cash": cash,
            "collateral": collateral,
            "shortfall": max(0.0, collateral - cash),
            "options": -sum(owed.values()),
            "shares": shares,
            "equity": equity,
            "exposure": (collateral + shares) / equity if equity else None,
            **{name: counts[name] for name in ("open_wheels", "open_puts", "open_calls")},
            "mark_age": age,
            "delta_dollars": dollars,
            **{
                kind: kinds[kind] - owed[kind] + before["owed"].get(kind, 0.0)
                for kind in ("puts", "calls")
            },
            "stock": kinds["stock"] + shares - before["shares"],
            "dividends": kinds["dividends"],
            "fees": kinds["fees"],
            "interest": interest,
        }
        return row, {"collateral": collateral, "owed": owed, "shares": shares}

    def _kind(self, of: Wheel, day: dt.date, entry: str, amount: float) -> str:
        """The source that an amount of cash is attributed to."""
        if entry in SHARES:
            return "stock"
        if entry == "dividend":
            return "dividends"
        # of a wheel the put has ended when a call is sold, and no call is left when it has not
        put = of.legs[0]
        if entry == "premium":
            return "puts" if day == put.sold else "calls"
        return "puts" if day == put.ended and put.row["exit_reason"] in BOUGHT else "calls"

    def _last_close(self, of: Wheel, session: dt.date) -> float:
        known = self.closes.get(of.total["underlying"], {})
        days = [day for day in known if day <= session]
        return known[max(days)] if days else 0.0

    def _sessions_between(self, first: dt.date, last: dt.date) -> int:
        return self.calendar.index[last] - self.calendar.index[first]

    # ---- deltas

    def _volatility(self, leg: Leg, session: dt.date, of: Wheel) -> float:
        """Of the last mark up to the session that has one; else that of the sale."""
        for day in reversed([leg.sold, *self.calendar.between(leg.sold, session)]):
            price, _, quote = self.mark(leg, day)
            found = pricer.implied_vol(*self._terms(of, leg, day, price, quote))
            if found is not None:
                return found
        return leg.row["iv_entry"]

    def _terms(
        self, of: Wheel, leg: Leg, day: dt.date, price: float, quote: Row | None
    ) -> tuple[float, float, float, float, float, bool, float]:
        _, factor, strike = self._symbol(leg, day)
        spot = self._last_close(of, day) if quote is None else quote["underlying_price"]
        years = max((leg.row["expiration"] - day).days, 0) / 365
        rate = wheel.by_session(self.config["rate"], day)
        paid = wheel.by_session(self.config["dividend_yield"], day)
        assert rate is not None
        assert paid is not None
        return price / factor, spot, strike, years, rate, leg.is_call, paid

    def _delta(
        self, of: Wheel, leg: Leg, session: dt.date, price: float, quote: Row | None
    ) -> float:
        """Share equivalents of one leg times the close, dollars."""
        if leg.frozen is not None and session > leg.frozen:
            return 0.0
        _, spot, strike, years, rate, is_call, paid = self._terms(of, leg, session, price, quote)
        if spot <= 0.0:
            return 0.0
        if years > 0.0:
            volatility = self._volatility(leg, session, of)
            delta = pricer.absolute_delta(spot, strike, years, rate, volatility, is_call, paid)
        else:
            delta = float(spot > strike if is_call else spot < strike)
        _, factor, _ = self._symbol(leg, session)
        units = 100 * leg.row["contracts"] * factor * (-1 if is_call else 1)
        return units * delta * self._last_close(of, session)
