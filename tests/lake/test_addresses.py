"""Addresses of object stores: which are taken, and that nothing is written at one, nor begun."""

import pickle
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.lake.test_lake import small_market
from wheelvec import cli
from wheelvec.lake.object_store import Address, StorageOptions
from wheelvec.market import splits
from wheelvec.market.market import Market
from wheelvec.model.addresses import address_of
from wheelvec.model.errors import InputError, LakeError
from wheelvec.tables.suspected import SUSPECTED

GIVEN = "s3://bucket/lake"


@pytest.fixture(autouse=True)
def _nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No folder that is named like an address, and no request: there is no store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    before = sorted(tmp_path.iterdir())
    yield
    assert sorted(tmp_path.iterdir()) == before


# ---- what is an address


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("s3://bucket/lake", "s3://bucket/lake"),
        ("GS://bucket", "gs://bucket"),
        (Path("s3://bucket/lake"), "s3://bucket/lake"),
        ("https://host/lake", "https://host/lake"),
        ("lake", None),
        ("./s3/lake", None),
        (Path("/data/lake"), None),
        ("C:/lake", None),
        (r"C:\lake", None),
    ],
)
def test_addresses_are_distinguished_from_paths(given: str | Path, address: str | None) -> None:
    assert address_of(given) == address


@pytest.mark.parametrize(
    ("given", "url", "bucket"),
    [
        ("s3://b", "s3://b", "s3://b"),
        ("s3://my.bucket-1/a/b=c d/", "s3://my.bucket-1/a/b=c d", "s3://my.bucket-1"),
        (Path("gs://b/a"), "gs://b/a", "gs://b"),
    ],
)
def test_an_address_is_read_without_its_last_slash(
    given: str | Path, url: str, bucket: str
) -> None:
    address = Address.of(given)
    assert address is not None
    assert (str(address), address.bucket) == (url, bucket)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("https://host/lake", "https://host/lake: no address of an object store; expected s3://"),
        ("az://bucket/lake", "az://bucket/lake: no address of an object store"),
        ("s3://", "no address of an object store; expected s3://bucket/prefix or gs://"),
        ("s3://a/b//c", "no address of an object store"),
        ("s3://a/../c", "no address of an object store"),
        ("s3://bucket/la*e", r"a prefix with '\*' cannot be listed; expected letters and digits"),
        ("s3://bucket/a%20b", "a prefix with '%' cannot be listed"),
        ("s3://bucket/Ä", "a prefix with 'Ä' cannot be listed"),
        ("s3://user:S3CR3T@bucket/lake", "an address has no user, password or query; expected"),
        ("s3://bucket/lake?X-Amz-Signature=S3CR3T", "an address has no user, password or query"),
        ("https://user:S3CR3T@host/lake?a=S3CR3T", "no address of an object store"),
    ],
)
def test_other_addresses_are_refused_without_what_may_be_secret(given: str, said: str) -> None:
    for read in (Market.open, wv.check):
        with pytest.raises(InputError, match=said) as caught:
            read(given)
        assert "S3CR3T" not in str(caught.value)


# ---- storage options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("S3CR3T", "storage_options is a str: expected a dict such as"),
        ([("key", "S3CR3T")], "storage_options is a list"),
        ({"key": None}, r"storage_options\['key'\] is a NoneType: expected a text or a number"),
        ({1: "S3CR3T"}, r"storage_options\[1\] is a str: expected"),
        ({"endpoint_url": "S3CR3T:80"}, r"storage_options\['endpoint_url'\] is no address"),
        (
            {"max_retries": "S3CR3T"},
            r"storage_options\['max_retries'\]: expected a value of type int",
        ),
    ],
)
def test_options_that_are_none_are_refused_without_their_values(options: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Market.open(GIVEN, storage_options=options)
    assert "S3CR3T" not in str(caught.value)
    assert caught.value.__context__ is None


def test_options_show_their_names_alone() -> None:
    options = StorageOptions({"aws_secret_access_key": "S3CR3T", "aws_region": "eu-1"})
    assert repr(options) == "StorageOptions(aws_secret_access_key, aws_region)"
    assert "S3CR3T" not in f"{options} {Address(GIVEN, options)!r}"
    assert dict(pickle.loads(pickle.dumps(options))) == dict(options)
    assert len(options) == 2


def test_a_folder_takes_no_options(tmp_path: Path) -> None:
    for read in (Market.open, wv.check):
        with pytest.raises(
            InputError, match="storage_options are for an object store, and lake is"
        ):
            read("lake", storage_options={"aws_region": "eu-1"})


# ---- nothing is written at an address


@pytest.fixture(scope="module")
def result() -> wv.Result:
    return wv.backtest(_demo(), wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))


@cache
def _demo() -> Market:
    return wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")


WRITING: dict[str, Callable[[Any], Any]] = {
    "Market.write": lambda place: small_market().write(place),
    "backtest": lambda place: wv.backtest(_demo(), wv.Config(), out=place),
    "sweep": lambda place: wv.sweep(_demo(), wv.Config(), {"put.exit_pct": [0.5]}, out=place),
    "import_files": lambda place: wv.import_files("none.csv", layout="optionsdx", lake=place),
    "get": lambda place: wv.get("spy", lake=place),
    "fetch": lambda place: wv.fetch(
        symbols="TSLA", start="2024-01-02", end="2024-01-03", lake=place
    ),
    "Config.to_toml": lambda place: wv.Config().to_toml(place),
    "splits": lambda place: splits.accept(place, pl.DataFrame(schema=SUSPECTED)),
}


@pytest.mark.parametrize("place", [GIVEN, Path(GIVEN), "gs://bucket/lake"])
@pytest.mark.parametrize("name", WRITING)
def test_nothing_is_written_at_an_address(name: str, place: str | Path) -> None:
    if name == "fetch":
        pytest.importorskip("databento_dbn")
    with pytest.raises(LakeError, match=r"^(s3|gs)://bucket/lake: .* must be a local f"):
        WRITING[name](place)


def test_results_are_saved_in_folders(result: wv.Result) -> None:
    portfolio = wv.simulate(result, wv.Account())
    for save in (
        result.save,
        wv.Result.load,
        portfolio.save,
        wv.Portfolio.load,
        wv.Sweep.load,
        lambda place: wv.page(result, place),
    ):
        with pytest.raises(LakeError, match=r"^s3://bucket/lake: .* must be a local f"):
            save(GIVEN)


def test_pictures_are_saved_in_files(result: wv.Result) -> None:
    pytest.importorskip("altair")
    with pytest.raises(LakeError, match=r"s3://bucket/a\.svg: a picture must be a local file"):
        wv.plots.ends(result).save("s3://bucket/a.svg")


COMMANDS = (
    "import --option-quotes q.parquet --underlying-bars b.parquet --lake s3://bucket/lake",
    "import --option-quotes q.parquet --lake s3://bucket/lake",
    "import eod q.csv --layout optionsdx --lake s3://bucket/lake",
    "import dbn q.dbn --lake s3://bucket/lake",
    "get spy --lake s3://bucket/lake",
    "fetch --symbols TSLA --start 2024-01-02 --end 2024-01-03 --lake s3://bucket/lake --yes",
    "demo --lake s3://bucket/lake",
    "demo --out s3://bucket/lake",
    "run wheel.toml --lake lake/ --out s3://bucket/lake",
    "run wheel.toml --lake s3://bucket/other --out s3://bucket/lake",
    "sweep wheel.toml grid.toml --lake lake/ --out gs://bucket/lake",
    "simulate out/ --out s3://bucket/lake",
    "report out/ --out s3://bucket/lake",
    "verdict out/ --page s3://bucket/lake",
    "check s3://bucket/lake --accept-splits",
    "show s3://bucket/lake",
    "run s3://bucket/lake --lake lake/ --out out/",
)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_refuse_an_address_where_they_write(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "dbn" in line or line.startswith("fetch"):
        pytest.importorskip("databento_dbn")
        monkeypatch.setenv("DATABENTO_API_KEY", "db-" + "7" * 29)
    assert cli.main(line.split()) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "://bucket/lake: " in printed.err
    assert "must be a local f" in printed.err
    assert len(printed.err.splitlines()) == 1
