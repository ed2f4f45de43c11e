"""Reading of an object store through Polars' own readers: texts, footers and rows.

    s3://bucket/prefix/.manifests/underlying=TSLA/manifest.json

No message shows what an error of the store or of its client says beyond its status and its code:
such texts quote requests, credentials and the files that these are kept in.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import polars as pl

from wheelvec.model.addresses import address_of, shown
from wheelvec.model.errors import InputError, LakeError, WheelvecError, cut

T = TypeVar("T")
SCHEMES = ("s3", "gs")
_FORM = "expected s3://bucket/prefix or gs://bucket/prefix"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Polars takes some other characters of a prefix for patterns, and lists under another name for the
# rest, with % before each
_OTHER = re.compile(r"[^A-Za-z0-9 !$&'()+,./:;=@_-]")
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
# the last two are where machines of a cloud are asked for credentials, where none are given
_NO_CREDENTIALS = re.compile(r"(?i)credential error|169\.254\.169\.254|metadata\.google\.internal")
# Polars' own words on Parquet and text are shown, what it quotes of a store or a client is not
_OF_THE_STORE = re.compile(r"(?i)object.store|https?:|credential|token|secret|key|status code")
_WRONG_OPTION = re.compile(r"invalid value for '(\w+)'.*\(expected (\w+)\)")
_KINDS = (str, int, float, bool)


class MissingError(LakeError):
    """There is no such object."""


class StorageOptions(Mapping[str, Any]):
    """The `storage_options` of Polars' readers: credentials, endpoint, region, retries.

    Its text shows the names and never a value.

    Args:
        given: the options; None: none, so that Polars takes them from the environment.

    Raises:
        InputError: if these are no options.
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise InputError(
                f"storage_options is a {type(given).__name__}: expected a dict such as "
                "{'aws_region': 'us-east-1'}"
            )
        self._held = dict(given or {})
        for name, value in self._held.items():
            if not isinstance(name, str) or not isinstance(value, _KINDS):
                raise InputError(
                    f"storage_options[{cut(name)}] is a {type(value).__name__}: expected a text "
                    "or a number under the name of an option"
                )
            if "endpoint" in name.lower() and not str(value).startswith(("http://", "https://")):
                raise InputError(
                    f"storage_options[{name!r}] is no address: expected one that begins with "
                    "http:// or https://"
                )

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"StorageOptions({', '.join(self._held)})"


@dataclass(frozen=True)
class Address:
    """A place in an object store: of a lake, or of one of its objects.

    Attributes:
        url: such as s3://bucket/prefix, without a slash at the end.
        options: how the store is reached.
    """

    url: str
    options: StorageOptions = field(repr=False, compare=False)

    @classmethod
    def of(cls, given: object, options: Mapping[str, Any] | None = None) -> Self | None:
        """The address that a user gave in place of a folder; None for a folder.

        Raises:
            InputError: for an address of another kind, or options that are none.
        """
        if (address := address_of(given)) is None:
            return None
        scheme, _, rest = address.partition("://")
        if scheme not in SCHEMES:
            raise InputError(f"{shown(address)}: no address of an object store; {_FORM}")
        if shown(address) != address:
            raise InputError(
                f"{shown(address)}: an address has no user, password or query; {_FORM}, and "
                "credentials in storage_options or in the environment"
            )
        bucket, *folders = rest.rstrip("/").split("/")
        if not _BUCKET.fullmatch(bucket) or any(name in ("", ".", "..") for name in folders):
            raise InputError(f"{address}: no address of an object store; {_FORM}")
        if other := _OTHER.search(rest):
            raise InputError(
                f"{address}: a prefix with {other[0]!r} cannot be listed; expected letters and "
                "digits of ASCII, blanks, and any of ! $ & ' ( ) + , - . / : ; = @ _"
            )
        found = options if isinstance(options, StorageOptions) else StorageOptions(options)
        return cls("/".join([f"{scheme}:/", bucket, *folders]), found)

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Address":
        return Address(f"{self.url}/{name}", self.options)

    @property
    def bucket(self) -> str:
        """The address of the bucket."""
        return "/".join(self.url.split("/")[:3])

    def text(self) -> str | None:
        """The lines of an object, each ended by a line feed; None if there is no such object.

        Raises:
            LakeError: if it cannot be read.
        """

        def lines() -> str:
            found = pl.read_lines(self.url, glob=False, storage_options=dict(self.options))
            return _joined(found["line"])

        try:
            return self.answer(lines)
        except MissingError:
            return None

    def texts(self, pattern: str) -> dict[str, str]:
        """The texts, as by `text`, of the objects whose path below this address fits a pattern.

        An object without a line is left out: Polars says nothing of it.

        Raises:
            LakeError: if they cannot be listed or read.
        """

        def lines() -> pl.DataFrame:
            return pl.read_lines(
                f"{self.url}/{pattern}",
                storage_options=dict(self.options),
                include_file_paths="path",
            )

        found = self.answer(lines).group_by("path", maintain_order=True)
        return {
            str(path).removeprefix(f"{self.url}/"): _joined(lines["line"])
            for (path,), lines in found
        }

    def has_parquet(self, pattern: str) -> bool:
        """Whether there is a Parquet object whose path below this address fits a pattern.

        Raises:
            LakeError: if the objects cannot be listed.
        """

        def paths() -> pl.DataFrame:
            found = pl.scan_parquet(
                f"{self.url}/{pattern}",
                schema={},
                extra_columns="ignore",
                hive_partitioning=False,
                include_file_paths="path",
                n_rows=1,
                storage_options=dict(self.options),
            )
            return found.select("path").collect()

        return self.answer(paths).height > 0

    def metadata(self) -> dict[str, str]:
        """The metadata in the footer of a Parquet object.

        Raises:
            MissingError: if there is no such object.
            LakeError: if it cannot be read.
        """
        return self.answer(
            lambda: pl.read_parquet_metadata(self.url, storage_options=dict(self.options))
        )

    def answer(self, ask: Callable[[], T]) -> T:
        """The value of a function that reads here.

        Raises:
            MissingError: if there is no such object.
            InputError: naming an option that is of a wrong type.
            LakeError: for every other error, without its text, which may quote credentials.
        """
        try:
            return ask()
        # anything: the libraries of a store's client define other errors
        except (Exception, pl.exceptions.PanicException) as error:
            refusal = _refusal(self, error)
        raise refusal  # here, for no traceback may show the error above


def _refusal(place: Address, error: BaseException) -> WheelvecError:
    """The error for a user, of an error of Polars or of a store."""
    text = str(error)
    if wrong := _WRONG_OPTION.search(text):
        return InputError(f"storage_options[{wrong[1]!r}]: expected a value of type {wrong[2]}")
    status, code = (found and found[1] for found in (_STATUS.search(text), _CODE.search(text)))
    said = ", ".join(found for found in (status, code) if found)
    answered = f" (the store answered {said})" if said else ""
    if code == "NoSuchBucket":
        return LakeError(f"{place} cannot be read: there is no bucket {place.bucket}")
    if _NO_CREDENTIALS.search(text):
        return LakeError(
            f"{place} cannot be read: the client of the store has no credentials that it can use"
            f"{answered}; expected them in storage_options or in the environment"
        )
    if isinstance(error, FileNotFoundError) or status == "404":
        return MissingError(f"{place} is missing{answered}")
    if isinstance(error, PermissionError) or status in ("401", "403"):
        return LakeError(
            f"{place} cannot be read: no permission{answered}; expected credentials that may list "
            "the bucket and read its objects"
        )
    if isinstance(error, ConnectionError | TimeoutError) or "sending request" in text:
        return LakeError(
            f"{place} cannot be read: the store cannot be reached; check the network, and the "
            "endpoint in storage_options or in the environment"
        )
    if isinstance(error, pl.exceptions.PolarsError) and not _OF_THE_STORE.search(text):
        return LakeError(f"{place} cannot be read: {next(iter(text.splitlines()), 'no reason')}")
    return LakeError(f"{place} cannot be read: {type(error).__name__}{answered}")


def _joined(lines: pl.Series) -> str:
    return "".join(f"{line}\n" for line in lines)
