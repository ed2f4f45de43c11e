"""A user's Parquet files, read in batches of rows so that memory stays small.

A small file may decompress to far more than the machine's memory. Arrow reads the files, because it
decodes page by page where Polars decodes whole row groups, and raises an error for damaged files.
Columns of text stay dictionaries until they are checked, so that a repeated long text is stored
once.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.model.errors import DataError, InputError, no_file
from wheelvec.tables import validation
from wheelvec.tables.validation import TABLES

ROWS = 131_072  # 15 MB of quotes
_BUFFER = 1 << 20  # bytes of a column that are read from disk at a time
# characters: no symbol, name, date or number is longer, and a text cut there stays unusable
_LONGEST = 300


def read(name: str, path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a file in batches, converted to table `name` as by `validation.read`.

    Raises:
        InputError: if there is no such file, or it is not readable as Parquet.
        DataError: for a missing column, or one that cannot be converted.
    """
    if not path.is_file():
        raise InputError(f"{name} {path}: {no_file(path)}")
    with _refused(name, path):
        yield from _batches(name, path)


@contextlib.contextmanager
def _refused(name: str, path: Path) -> Iterator[None]:
    """Turn any error of reading a file into an InputError or DataError with its path."""
    try:
        yield
    except InputError:
        raise
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except MemoryError as error:
        raise InputError(
            f"{name} {path}: not readable as Parquet: "
            "one page of it needs more memory than there is"
        ) from error
    except (Exception, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{name} {path}: not readable as Parquet: {reason}") from error


def _batches(name: str, path: Path) -> Iterator[pl.DataFrame]:
    import pyarrow
    import pyarrow.parquet

    options: dict[str, Any] = {"buffer_size": _BUFFER, "page_checksum_verification": True}
    with pyarrow.parquet.ParquetFile(path, **options) as file:
        schema = file.schema_arrow
        # raises for missing columns and types before rows are read
        validation.read(name, _frame(schema.empty_table()))
        wanted = [column for column in TABLES[name].schema if column in schema.names]
    texts = [column for column in wanted if _is_text(schema.field(column).type)]
    seen = 0
    with pyarrow.parquet.ParquetFile(path, read_dictionary=texts, **options) as file:
        for batch in file.iter_batches(ROWS, columns=wanted):
            batch.validate(full=True)
            seen += batch.num_rows
            yield validation.read(name, _frame(_shortened(batch)))
        if seen != file.metadata.num_rows:
            raise InputError(
                f"{name} {path}: not readable as Parquet: {seen} rows, "
                f"expected {file.metadata.num_rows}"
            )


def _is_text(dtype: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(dtype) or types.is_large_string(dtype))


def _shortened(batch: Any) -> Any:
    """The batch with texts cut to `_LONGEST` characters."""
    import pyarrow
    import pyarrow.compute as compute

    columns = []
    for column in batch.columns:
        if pyarrow.types.is_dictionary(column.type) and _is_text(column.type.value_type):
            words = compute.utf8_slice_codeunits(column.dictionary, 0, _LONGEST)
            column = pyarrow.DictionaryArray.from_arrays(column.indices, words)
        columns.append(column)
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _frame(batch: Any) -> pl.DataFrame:
    found = pl.from_arrow(batch)
    assert isinstance(found, pl.DataFrame)
    return found
