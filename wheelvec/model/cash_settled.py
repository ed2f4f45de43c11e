"""Table of the option roots that settle in cash, without delivery of shares (rules.md, scope).

Each group cites the publication of the exchange from which it was taken in 2025. Options on funds
that follow an index (SPY, QQQ, IWM, SMH, XLF) deliver shares and are not listed. A root that is
also the ticker of a stock or fund would count as cash-settled, because a symbol does not say which
of the two is meant; the publications show no such root.
"""

from typing import NamedTuple


class Group(NamedTuple):
    """Roots that settle in cash, and the publication that says so."""

    source: str
    roots: tuple[str, ...]


GROUPS = (
    Group(
        "Cboe, S&P 500 and S&P 100 index options: specifications; former roots of quarterly and "
        "PM-settled series",
        (
            "SPX",
            "SPXW",
            "SPXQ",
            "SPXPM",
            "XSP",
            "XSPAM",
            "NANOS",
            "SPESG",
            "SPEQX",
            "SPEQW",
            "OEX",
            "XEO",
        ),
    ),
    Group(
        "Cboe, Select Sector index options: product list",
        ("SIXB", "SIXC", "SIXE", "SIXI", "SIXM", "SIXR", "SIXRE", "SIXT", "SIXU", "SIXV", "SIXY"),
    ),
    Group(
        "Cboe, Dow Jones and Russell index options: specifications",
        ("DJX", "RUT", "RUTW", "MRUT", "RUI", "RLG", "RLV"),
    ),
    Group("Cboe, MSCI index options: specifications", ("MXEA", "MXEF", "MXACW", "MXUSA", "MXWLD")),
    Group(
        "Cboe, fees schedule of February 2019: FTSE index options", ("AWDE", "FTEM", "FXTM", "UKXM")
    ),
    Group(
        "Cboe, volatility index options: specifications; settlement values of 2014",
        ("VIX", "VIXW", "VXST"),
    ),
    Group(
        "Cboe, Bitcoin U.S. ETF index options: specifications", ("CBTX", "CBTXW", "MBTX", "MBTXW")
    ),
    Group("Cboe, Magnificent 10 index options: SR-CBOE-2025-089", ("MGTN",)),
    Group(
        "Nasdaq, Nasdaq-100 and volatility index options: specifications of PHLX, ISE and GEMX",
        ("NDX", "NDXP", "NQX", "MNX", "XND", "VOLQ"),
    ),
    Group(
        "Nasdaq PHLX, sector index options: specifications",
        ("BKX", "HGX", "OSX", "SOX", "UTY", "XAU"),
    ),
    Group(
        "Nasdaq PHLX, U.S. dollar-settled currency options: specifications",
        ("XDA", "XDB", "XDC", "XDE", "XDN", "XDS", "XDZ"),
    ),
    Group("MIAX, SPIKES volatility index options: specification", ("SPIKE",)),
)

ROOTS = tuple(sorted(root for group in GROUPS for root in group.roots))
