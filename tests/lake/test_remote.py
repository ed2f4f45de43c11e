"""A lake in an object store: the same rows and results as in its folder, only what is asked for is
fetched, damage is noticed, and no message shows a credential.
"""

import http.server
import json
import os
import pickle
import shutil
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

import wheelvec as wv
from tests.lake.store_server import BUCKET, KEY, SECRET, Store
from tests.lake.test_lake import DAY, assert_same, june, small_market
from wheelvec import cli
from wheelvec.lake import lake, object_store
from wheelvec.lake.inspection import check
from wheelvec.market.market import Market
from wheelvec.model.errors import InputError, LakeError

pytest.importorskip("moto")
pytest.importorskip("flask")

QUOTES, BARS = "option_quotes", "option_bars"
JUNE = f"{QUOTES}/underlying=TSLA/2023-06.parquet"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store, which a proxy of the environment must not stand before."""
    with pytest.MonkeyPatch.context() as patch, Store(tmp_path_factory.mktemp("store")) as made:
        patch.setenv("NO_PROXY", "127.0.0.1")
        for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
            patch.delenv(name)
        yield made


@pytest.fixture(scope="module")
def address(store: Store, written: Path) -> str:
    """The lake of `small_market` in the store, not to be changed."""
    return store.upload(written, "some/lake")


@pytest.fixture
def mine(store: Store, folder: Path, request: pytest.FixtureRequest) -> str:
    """A lake of `small_market` in the store that a test may change."""
    return store.upload(folder, f"mine/{request.node.name.replace('[', '-').replace(']', '')}")


def opened(store: Store, address: str, **more: Any) -> Market:
    return Market.open(address, storage_options=store.options, **more)


def key_of(address: str, path: str) -> str:
    return f"{address.removeprefix(f's3://{BUCKET}/')}/{path}"


def keys(store: Store) -> set[str]:
    """The objects fetched since the last call; only fetches may have been asked for."""
    asked = store.asked()
    assert {method for method, _ in asked} <= {"GET", "HEAD"}
    return {key for _, key in asked if not key.startswith("?")}


# ---- the same as in a folder


def test_all_tables_and_the_fingerprint_are_those_of_the_folder(
    store: Store, address: str, written: Path
) -> None:
    assert_same(opened(store, address), Market.open(written))
    assert repr(opened(store, address)) == repr(Market.open(written))


@pytest.mark.parametrize(
    ("symbols", "start", "end"),
    [
        ("TSLA", None, None),
        (["TSLA", "BRK.B"], "2023-06-02", "2023-07-03"),
        ("BRK.B", "2023-07-01", None),
        ("TSLA", None, "2023-06-01"),
        ("TSLA", "2024-01-01", None),
    ],
)
def test_some_symbols_and_days_are_those_of_the_folder(
    store: Store, address: str, written: Path, symbols: Any, start: str | None, end: str | None
) -> None:
    given = {"symbols": symbols, "start": start, "end": end}
    assert_same(opened(store, address, **given), Market.open(written, **given))


def test_backtest_and_sweep_are_equal_to_the_bit(store: Store, tmp_path: Path) -> None:
    wv.demo_market(symbols=["ALFA", "BRVO"], start="2024-01-02", end="2024-04-30").write(
        tmp_path / "demo"
    )
    market = Market.open(store.upload(tmp_path / "demo", "demo"), storage_options=store.options)
    local = Market.open(tmp_path / "demo")
    config = wv.Config(schedule=wv.Schedule(start_date="2024-01-02", end_date="2024-01-12"))
    one, other = wv.backtest(market, config), wv.backtest(local, config)
    assert one.records.height > 5
    assert one.records.equals(other.records, null_equal=True)
    assert one.ledger.equals(other.ledger)
    assert one.warnings == other.warnings
    assert dict(one.summary()) == dict(other.summary())
    assert one.fingerprint == other.fingerprint
    grid = {"put.exit_pct": [0.25, 0.5], "put.stop_loss_multiplier": [2.0, None]}
    swept = [wv.sweep(each, config, grid) for each in (market, local)]
    assert swept[0].frame.equals(swept[1].frame)
    assert keys(store) <= {key for _, key in _listing(tmp_path / "demo", "demo")} | {
        "demo/splits.csv"
    }


def _listing(folder: Path, prefix: str) -> list[tuple[Path, str]]:
    return [(path, f"{prefix}/{path.relative_to(folder).as_posix()}") for path in folder.rglob("*")]


def test_gs_is_read_by_the_same_requests(store: Store, address: str, written: Path) -> None:
    """moto answers reads of Google's XML interface, whose listing and objects are S3's."""
    market = Market.open(address.replace("s3://", "gs://"), storage_options=store.google_options)
    assert market.address == address.replace("s3://", "gs://")
    assert_same(market, Market.open(written))


def test_the_environment_says_how_the_store_is_reached(
    store: Store, address: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    assert Market.open(address).fingerprint == Market.open(written).fingerprint
    assert Market.open(Path(address)).address == address  # pathlib takes one slash away
    assert Market.open(f"{address}/").address == address


def test_a_market_is_opened_again_by_its_address_or_by_a_pickle(
    store: Store, address: str, written: Path
) -> None:
    market, local = opened(store, address, symbols="TSLA"), Market.open(written, symbols="TSLA")
    assert (market.folder, market.address) == (None, address)
    assert (local.folder, local.address) == (written, str(written))
    assert local.storage_options is small_market().address is None
    again = Market.open(address, "TSLA", storage_options=market.storage_options)
    assert_same(again, local)
    assert_same(pickle.loads(pickle.dumps(market)), local)
    assert market.solved_chains("TSLA", DAY("2023-06-01")) is None


def test_names_that_are_quoted_and_splits_that_rename(store: Store, tmp_path: Path) -> None:
    market = small_market()
    odd = {"TSLA": "A/B", "BRK.B": "^Ä B"}
    tables = {
        name: getattr(market, name).with_columns(pl.col("underlying").replace(odd))
        for name in (QUOTES, "underlying_bars")
    }
    splits = pl.DataFrame(
        {
            "underlying": ["A/B"],
            "ex_date": [DAY("2023-07-03")],
            "numerator": [1],
            "denominator": [1],
        }
    ).with_columns(new_underlying=pl.lit("^Ä B"))
    Market(**tables, splits=splits).write(tmp_path / "odd")
    text = (tmp_path / "odd" / "splits.csv").read_bytes()
    (tmp_path / "odd" / "splits.csv").write_bytes(b"\xef\xbb\xbf# mine\r\n" + text)
    address = store.upload(tmp_path / "odd", "odd (a=1) lake")
    for symbols in (None, ["A/B"], ["^Ä B"]):
        local = Market.open(tmp_path / "odd", symbols)
        assert_same(opened(store, address, symbols=symbols), local)
        assert local.splits is not None
    assert opened(store, address, symbols="A/B").symbols == ("A/B",)


def test_a_table_that_only_other_underlyings_have_is_one_of_the_market(
    store: Store, tmp_path: Path
) -> None:
    """The fingerprint says whether there are option bars."""
    whole = small_market()
    without = {name: getattr(whole, name) for name in (QUOTES, "underlying_bars")}
    only = {name: rows.filter(pl.col("underlying") == "BRK.B") for name, rows in without.items()}
    Market(**only).write(tmp_path / "lake")
    address = store.upload(tmp_path / "lake", "without-bars")
    assert not opened(store, address, symbols="BRK.B").has_option_bars
    rest = {n: getattr(whole, n) for n in (QUOTES, BARS, "underlying_bars")}
    tsla = {
        n: rows.filter(pl.col("underlying") == "TSLA")
        if "underlying" in rows.columns
        else rows.filter(pl.col("symbol").str.starts_with("TSLA"))
        for n, rows in rest.items()
    }
    Market(**tsla).write(tmp_path / "lake")
    store.upload(tmp_path / "lake", "without-bars")
    market, local = (
        opened(store, address, symbols="BRK.B"),
        Market.open(tmp_path / "lake", "BRK.B"),
    )
    assert market.has_option_bars
    assert not market.has_bars_of("BRK.B")
    assert_same(market, local)


# ---- what is fetched


def test_opening_fetches_the_manifests_asked_for_and_the_splits(store: Store, address: str) -> None:
    keys(store)
    opened(store, address, symbols="TSLA")
    held = {".manifests/underlying=TSLA/manifest.json", "splits.csv"}
    assert keys(store) == {key_of(address, path) for path in held}


def test_only_the_months_and_underlyings_asked_for_are_fetched(store: Store, address: str) -> None:
    market = opened(store, address, symbols="TSLA", start="2023-07-01")
    keys(store)
    assert market.option_quotes.height == 8
    assert market.data_range == (DAY("2023-07-03"), DAY("2023-07-05"))
    assert {key.split("/", 2)[2] for key in keys(store)} == {
        f"{name}/underlying=TSLA/2023-07.parquet" for name in (QUOTES, BARS, "underlying_bars")
    }
    whole = opened(store, address)
    keys(store)
    assert whole.window("BRK.B", DAY("2023-06-01"), DAY("2023-06-30")).quotes.height == 16
    assert {key.split("/", 2)[2] for key in keys(store)} == {
        f"{name}/underlying=BRK.B/2023-06.parquet" for name in (QUOTES, BARS)
    }


def test_a_fingerprint_fetches_each_footer_once(store: Store, address: str) -> None:
    market = opened(store, address)
    keys(store)
    assert market.fingerprint
    fetched = [key for _, key in store.asked()]
    assert len(fetched) == len(set(fetched)) == 2 * (2 + 2 + 2) + 1  # and a month of dividends
    assert market.data_range
    assert market.symbols
    assert not store.asked()


def test_a_verified_month_is_read_in_part(store: Store, tmp_path: Path) -> None:
    """Of one that was not, all is fetched and compared with its digest."""
    days = [
        day.date() for day in pl.datetime_range(DAY("2023-06-01"), DAY("2023-06-30"), eager=True)
    ]
    rows = small_market([day for day in days if day.weekday() < 5])
    rows.write(tmp_path / "lake")
    address = store.upload(tmp_path / "lake", "parts")
    market = opened(store, address, symbols="TSLA")
    day = DAY("2023-06-15")
    source = market._source
    assert isinstance(source, lake.BaseLake)
    wanted = rows.quotes("TSLA", day, day)
    first = market.quotes("TSLA", day, day)
    assert source.fetched.verified  # type: ignore[attr-defined]
    assert first.equals(wanted)
    assert market.quotes("TSLA", day, day).equals(wanted)
    found = source.columns(QUOTES, "TSLA", [DAY("2023-06-01")], ("session", "bid"))
    assert found.columns == ["session", "bid"]
    assert found.equals(rows.option_quotes.filter(underlying="TSLA").select("session", "bid"))


# ---- damage


def test_a_lake_is_known_by_its_manifests(store: Store, folder: Path) -> None:
    shutil.rmtree(folder / ".manifests")
    address = store.upload(folder, "bare")
    for symbols in (None, "TSLA"):
        with pytest.raises(LakeError, match=f"^{address} is no lake: it has no manifest; expected"):
            opened(store, address, symbols=symbols)
    with pytest.raises(LakeError, match="is no lake: it has no manifest"):
        opened(store, f"s3://{BUCKET}/no/such/prefix")


def test_an_unknown_symbol_names_those_of_the_lake(store: Store, address: str) -> None:
    with pytest.raises(InputError, match=rf"unknown symbol of the lake {address}: 'TSLB' .*'TSLA'"):
        opened(store, address, symbols=["TSLA", "TSLB"])


def test_a_bucket_that_does_not_exist(store: Store) -> None:
    for symbols in (None, "TSLA"):
        with pytest.raises(LakeError, match=r"there is no bucket s3://nobodys$"):
            opened(store, "s3://nobodys/lake", symbols=symbols)


def test_a_missing_object(store: Store, mine: str) -> None:
    store.delete(key_of(mine, JUNE))
    market = opened(store, mine, symbols="TSLA")
    for read in (lambda: market.fingerprint, lambda: market.option_quotes):
        with pytest.raises(LakeError, match=f"^{mine}/{JUNE} is missing: the manifest"):
            read()


def test_a_manifest_that_was_altered(store: Store, mine: str, folder: Path) -> None:
    path = ".manifests/underlying=TSLA/manifest.json"
    text = (folder / path).read_text().replace("2023-07", "2023-08")
    store.put(key_of(mine, path), text.encode())
    for symbols in (None, "TSLA"):
        with pytest.raises(LakeError, match=f"^{mine}/{path} was cut or altered"):
            opened(store, mine, symbols=symbols)
    store.put(key_of(mine, path), b"")
    with pytest.raises(LakeError, match="was cut or altered"):
        opened(store, mine, symbols="TSLA")


def test_splits_at_fault(store: Store, mine: str) -> None:
    for text, reason in (
        (b"underlying\xff\n", "invalid utf8"),
        (b"underlying,a\nb,1,2\n", "line 2"),
    ):
        store.put(key_of(mine, "splits.csv"), text)
        with pytest.raises(LakeError, match=f"^{mine}/splits.csv.*{reason}"):
            opened(store, mine)


def _rewritten(path: Path, **columns: pl.Expr) -> bytes:
    """A file whose rows another program has altered, with the metadata that it found."""
    held = pq.ParquetFile(path)
    rows = pl.from_arrow(held.read())
    assert isinstance(rows, pl.DataFrame)
    made = rows.with_columns(**columns).to_arrow(compat_level=pl.CompatLevel.oldest())
    made = made.cast(held.schema_arrow).replace_schema_metadata(held.metadata.metadata)
    pq.write_table(made, path, compression="zstd")
    return path.read_bytes()


@pytest.mark.parametrize("column", ["bid", "strike"])
def test_altered_rows_are_refused_however_they_are_read(
    store: Store, mine: str, folder: Path, column: str
) -> None:
    altered = _rewritten(june(folder), **{column: pl.col(column) + 1})
    store.put(key_of(mine, JUNE), altered)
    day = DAY("2023-06-02")
    market = opened(store, mine, symbols="TSLA")
    source = market._source
    assert isinstance(source, lake.BaseLake)
    for read in (
        lambda: market.quotes("TSLA", day, day),
        lambda: market.option_quotes,
        lambda: source.columns(QUOTES, "TSLA", source.months(QUOTES, "TSLA"), ("session",)),
        lambda: market.suspected_splits(["TSLA"]),
        lambda: opened(store, mine, end="2023-06-29").fingerprint,
    ):
        with pytest.raises(LakeError, match=f"^{mine}/{JUNE} was altered since it was written"):
            read()
    assert market.quotes("TSLA", DAY("2023-07-01"), DAY("2023-07-31")).height == 8


def test_rows_that_are_gone_are_noticed(store: Store, mine: str, folder: Path) -> None:
    path = june(folder)
    held = pq.ParquetFile(path)
    rows = held.read().slice(1).replace_schema_metadata(held.metadata.metadata)
    pq.write_table(rows, path, compression="zstd")
    store.put(key_of(mine, JUNE), path.read_bytes())
    market = opened(store, mine, symbols="TSLA")
    for read in (
        lambda: market.option_quotes,
        lambda: market.quotes("TSLA", DAY("2023-06-02"), DAY("2023-07-03")),
    ):
        with pytest.raises(LakeError, match=rf"^{mine}/{JUNE} holds 15 rows, expected 16$"):
            read()


def test_other_damage_names_the_object(store: Store, mine: str, folder: Path) -> None:
    key, whole = key_of(mine, JUNE), june(folder).read_bytes()
    july = june(folder).with_name("2023-07.parquet")
    other = folder / "other.parquet"
    pl.DataFrame({"session": [DAY("2023-06-01")]}).write_parquet(other)
    for body, reason in (
        (whole[:-200], "cannot be read"),
        (b"", "cannot be read"),
        (b"not Parquet" * 9, "cannot be read"),
        (other.read_bytes(), "was not written by wheelvec, or another program"),
        (july.read_bytes(), "holds month 2023-07, expected 2023-06: it was moved"),
        (june(folder, underlying="BRK.B").read_bytes(), "holds underlying BRK.B, expected TSLA"),
        (whole[: len(whole) // 3] + b"\0" * 99 + whole[len(whole) // 3 + 99 :], ""),
    ):
        store.put(key, body)
        with pytest.raises(LakeError, match=f"^{mine}/{JUNE} {reason}"):
            _ = opened(store, mine, symbols="TSLA").option_quotes


def test_a_month_that_is_replaced_is_read_anew(store: Store, mine: str, tmp_path: Path) -> None:
    """Whole, in part, and without what was known of its first bytes."""
    other = small_market(bid=3.0)
    other.write(tmp_path / "other")
    day = DAY("2023-06-02")
    market = opened(store, mine, symbols="TSLA")
    assert set(market.quotes("TSLA", day, day)["bid"].drop_nulls()) == {5.0}
    store.put(key_of(mine, JUNE), june(tmp_path / "other").read_bytes())
    assert set(market.quotes("TSLA", day, day)["bid"].drop_nulls()) == {3.0}
    assert market.quotes("TSLA", DAY("2023-06-01"), DAY("2023-06-30")).equals(
        other.quotes("TSLA", DAY("2023-06-01"), DAY("2023-06-30"))
    )
    late = opened(store, mine, symbols="TSLA")
    assert late.fingerprint
    small_market(bid=2.0).write(tmp_path / "third")
    third = june(tmp_path / "third")
    store.put(key_of(mine, JUNE), third.read_bytes())
    assert set(late.option_quotes["bid"].drop_nulls()) == {2.0, 5.0}
    store.put(key_of(mine, JUNE), _rewritten(third, bid=pl.col("bid") + 1))
    with pytest.raises(LakeError, match=f"^{mine}/{JUNE} was altered since it was written"):
        market.quotes("TSLA", day, day)  # of a month whose earlier rows were verified


def test_check_reports_what_it_reports_of_the_folder(store: Store, mine: str, folder: Path) -> None:
    one, other = check(mine, storage_options=store.options), check(folder)
    for name in ("underlyings", "coverage", "entry_times", "holes", "vanished", "broken", "gaps"):
        assert getattr(one, name).equals(getattr(other, name)), name
    assert one.held.drop("bytes").equals(other.held.drop("bytes"))
    assert one.held["bytes"].null_count() == one.held.height
    store.put(key_of(mine, JUNE), _rewritten(june(folder), bid=pl.col("bid") + 1))
    store.put(key_of(mine, ".manifests/underlying=BRK.B/manifest.json"), b"{}")
    store.asked()
    assert check(mine, storage_options=store.options).files.select("path", "finding").rows() == [
        (".manifests/underlying=BRK.B/manifest.json", "damaged"),
        (JUNE, "damaged"),
    ]
    keys(store)  # reads alone


# ---- errors of the store


class _Refusing(http.server.BaseHTTPRequestHandler):
    """A store that answers every request with a status, and with the credentials of its client."""

    status = 403

    def do_GET(self) -> None:
        body = (
            f"<Error><Code>AccessDenied</Code><Message>{KEY} {SECRET}</Message>"
            f"<StringToSign>{self.headers.get('Authorization')}</StringToSign></Error>"
        ).encode()
        self.send_response(self.status, f"No {SECRET}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def shown(error: BaseException) -> str:
    """All that a traceback, a log or a notebook may show of an error."""
    found = "".join(traceback.format_exception(error)) + repr(error) + str(error.args)
    assert error.__cause__ is None
    assert error.__context__ is None
    return found


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, r"no permission \(the store answered 403, AccessDenied\); expected credentials that"),
        (401, r"no permission \(the store answered 401"),
        (400, r"the store answered 400"),
        (500, r"the store answered 500"),
        (302, r"cannot be read"),
    ],
)
def test_no_answer_of_the_store_shows_a_credential(
    store: Store,
    refusing: http.server.ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    said: str,
) -> None:
    monkeypatch.setattr(_Refusing, "status", status)
    options = store.options | {"aws_endpoint_url": f"http://127.0.0.1:{refusing.server_port}"}
    for symbols in (None, "TSLA"):
        with pytest.raises(LakeError, match=said) as caught:
            Market.open("s3://lakes/some/lake", symbols, storage_options=options)
        text = shown(caught.value)
        assert "s3://lakes/some/lake" in str(caught.value)
        assert KEY not in text
        assert SECRET not in text


def test_a_store_that_cannot_be_reached(store: Store) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        port = server.server_port
    options = store.options | {"aws_endpoint_url": f"http://127.0.0.1:{port}"}
    with pytest.raises(LakeError, match="the store cannot be reached; check the network") as caught:
        Market.open("s3://lakes/some/lake", storage_options=options)
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("key", ['{"private_key": "S3CR3T"}', '"S3CR3T"', "S3CR3T"])
def test_credentials_that_cannot_be_read(key: str) -> None:
    options = {"google_service_account_key": key, "max_retries": 0}
    with pytest.raises(LakeError, match="no credentials that it can use") as caught:
        Market.open("gs://lakes/some/lake", storage_options=options)
    assert "S3CR3T" not in shown(caught.value)


def test_a_market_shows_no_credential(store: Store, address: str) -> None:
    market = opened(store, address)
    options = market.storage_options
    assert options is not None
    assert dict(options) == store.options
    for text in (
        repr(market),
        str(market),
        market._repr_html_(),
        repr(options),
        str(market._source),
    ):
        assert SECRET not in text
        assert KEY not in text
    assert "aws_secret_access_key" in repr(options)


def test_a_panic_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    place = object_store.Address.of("s3://lakes/lake")
    assert place is not None

    def panics(*_: Any, **__: Any) -> None:
        raise pl.exceptions.PanicException(SECRET)

    monkeypatch.setattr(pl, "read_lines", panics)
    with pytest.raises(LakeError, match=r"cannot be read: PanicException$"):
        place.text()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (pl.exceptions.ComputeError("invalid utf8\nmore"), "invalid utf8"),
        (pl.exceptions.ComputeError(f"credential provider: {SECRET}"), "ComputeError"),
        (pl.exceptions.ComputeError(f"GET https://host/{SECRET}"), "ComputeError"),
        (RuntimeError(SECRET), "RuntimeError"),
        (OSError(f"Generic S3 error: {SECRET}"), "OSError"),
    ],
)
def test_only_polars_own_words_are_shown(error: Exception, said: str) -> None:
    place = object_store.Address.of("s3://lakes/lake")
    assert place is not None

    def fails() -> None:
        raise error

    with pytest.raises(LakeError, match=rf"^s3://lakes/lake cannot be read: {said}$") as caught:
        place.answer(fails)
    assert SECRET not in shown(caught.value)


# ---- on the command line


def test_commands_read_the_store_and_print_what_they_print_of_the_folder(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment says how it is reached; `run` in both, then what reads a lake beside it."""
    folder = tmp_path / "lake"
    wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-03-28").write(folder)
    address = store.upload(folder, "commands")
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("wheel.toml").write_text(
        "[schedule]\nstart_date = 2024-01-02\nend_date = 2024-01-05\nsymbols = ['BRVO']\n"
    )
    Path("grid.toml").write_text("[put]\nexit_pct = [0.25, 0.5]\n")
    printed: dict[str, list[str]] = {}
    for place in (str(folder), address):
        for line in (
            "run wheel.toml --lake LAKE --out out/ --no-page --csv",
            "why-not out/ 2024-01-03 BRVO --lake LAKE",
            "sweep wheel.toml grid.toml --lake LAKE --out swept/ --csv --quiet",
            "check LAKE --json",
        ):
            assert cli.main(line.replace("LAKE", place).split()) == 0, capsys.readouterr().err
            printed.setdefault(place, []).append(capsys.readouterr().out)
        shutil.rmtree("out")
        shutil.rmtree("swept")
    here, there = printed.values()
    assert there[:3] == here[:3]
    sizes = [json.loads(found[3])["held"] for found in (here, there)]
    assert [{**row, "bytes": None} for row in sizes[0]] == sizes[1]
    assert cli.main(["check", address]) == 0
    keys(store)  # reads alone
    assert cli.main(["run", "wheel.toml", "--lake", f"{address}/no", "--out", "out"]) == 1
    assert f"{address}/no is no lake" in capsys.readouterr().err
