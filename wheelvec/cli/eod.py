"""The form `wheelvec import eod`, for vendors' end-of-day files."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from wheelvec.cli.arguments import JSON, add_command, add_forms, add_splits, splits_given
from wheelvec.cli.terminal import progress_bar, without_panics, write

_LAYOUTS = (
    "alphavantage, cboe, dolt, historicaloptiondata, ivolatility, optionsdx, orats, thetadata, "
    "yahoo"
)


def add_eod(forms: Any) -> None:
    """Add `eod` to the forms of `wheelvec import`."""
    eod = add_command(
        forms,
        "eod",
        "vendors' end-of-day files, CSV or Parquet",
        described="Write the bids and asks of vendors' end-of-day files into a lake. Files are "
        "CSV, plain or compressed (gzip, zstd, zip), or Parquet. All of them are read before "
        "anything is written.",
        more=f"Layouts: {_LAYOUTS}; or the path of a TOML file that describes your own "
        "(docs/importing.md).",
        examples=(
            "spy_eod_2020*.txt --layout optionsdx --lake lake/",
            "cboe/*.zip --layout cboe --symbols TSLA --underlying stocks.csv --lake lake/",
            "chain.csv --layout yahoo --date 2026-03-02 --lake lake/",
        ),
    )
    eod.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="files, or folders of files"
    )
    eod.add_argument(
        "--layout", required=True, metavar="NAME", help="a layout's name, or a TOML file"
    )
    eod.add_argument("--lake", required=True, type=Path, metavar="FOLDER", help="the lake to write")
    eod.add_argument("--time", metavar="TIME", help="of cboe: 1545 (default) or eod")
    eod.add_argument("--date", metavar="DATE", help="the day of quotes that do not state it: yahoo")
    eod.add_argument("--symbol", metavar="NAME", help="the underlying of files without its name")
    eod.add_argument("--symbols", metavar="NAMES", help="import these underlyings only")
    eod.add_argument(
        "--underlying",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="the underlyings' daily bars, unadjusted: CSV or Parquet with date and close",
    )
    eod.add_argument(
        "--underlying-price",
        choices=("vendor", "parity", "close"),
        metavar="SOURCE",
        help="the price beside the quotes: vendor, parity or close; default: the first there is",
    )
    eod.add_argument(
        "--rate",
        type=float,
        default=0.04,
        metavar="RATE",
        help="a year, for put-call parity; default: %(default)s",
    )
    eod.add_argument(
        "--replace",
        action="store_true",
        help="replace whole sessions, instead of adding to the lake's",
    )
    add_splits(eod)
    eod.add_argument("--quiet", action="store_true", help="no progress")
    add_forms(eod, "files, counts and prices")
    eod.set_defaults(command=_import_eod)


def _import_eod(options: argparse.Namespace) -> None:
    with without_panics(), progress_bar("files", options.quiet) as progress:
        from wheelvec.report.figures import as_json
        from wheelvec.report.imported import imported_text
        from wheelvec.vendors.files.importing import import_files

        done = import_files(
            options.files,
            layout=options.layout,
            lake=options.lake,
            time=options.time,
            date=options.date,
            symbol=options.symbol,
            symbols=None if options.symbols is None else options.symbols.split(","),
            underlying=options.underlying,
            underlying_price=options.underlying_price,
            rate=options.rate,
            replace=options.replace,
            splits=splits_given(options),
            progress=progress,
        )
    if options.form == JSON:
        found = {field.name: getattr(done, field.name) for field in dataclasses.fields(done)}
        write(as_json({"lake": str(options.lake)} | found))
    else:
        write(imported_text(done, str(options.lake)))
