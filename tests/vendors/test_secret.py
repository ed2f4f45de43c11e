"""The key is never shown: in any encoding that a server may echo, in messages, logs, reprs and
tracebacks.
"""

import base64
import http.client
import json
import logging
import re
import string
import time
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.vendors.feeds import small_feed
from tests.vendors.standin import KEY, Said, Standin
from tests.vendors.test_client import ASK
from wheelvec.model.errors import FetchError, InputError
from wheelvec.vendors.databento import client as patience
from wheelvec.vendors.databento.client import Client
from wheelvec.vendors.databento.secret import HIDDEN, Key

keys = st.text(string.ascii_letters + string.digits, min_size=29, max_size=29).map("db-".__add__)


def basic(key: str) -> str:
    return base64.b64encode(f"{key}:".encode()).decode()


def every(form: str) -> Callable[[str], str]:
    return lambda text: "".join(form.format(ord(char)) for char in text)


PLAIN: dict[str, Callable[[str], str]] = {
    "the key": lambda key: key,
    "without db-": lambda key: key[3:],
    "in capitals": str.upper,
    "base64": basic,
    "base64 without padding": lambda key: basic(key).rstrip("="),
    "base64 of the key alone": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 behind one byte": lambda key: base64.b64encode(f"x{key}".encode()).decode(),
    "base64 behind two bytes": lambda key: base64.urlsafe_b64encode(f"xy{key}:z".encode()).decode(),
    "base64 of the header": lambda key: base64.b64encode(f"Basic {key}:".encode()).decode(),
    "hexadecimal": lambda key: f"{key}:".encode().hex(),
}
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in a URL": lambda text: quote(text, safe=""),
    "all in percent": every("%{:02X}"),
    "twice in percent": every("%25{:02x}"),
    "in JSON": json.dumps,
    "all escaped in JSON": every("\\u{:04x}"),
    "JSON in JSON": lambda text: json.dumps(every("\\u{:04X}")(text)),
    "a representation": lambda text: repr(text.encode()),
    "all escaped in Python": every("\\x{:02x}"),
    "HTML": every("&#{};"),
    "HTML, hexadecimal": every("&#x{:02X};"),
    "over lines": lambda text: "\n  ".join(text[i : i + 7] for i in range(0, len(text), 7)),
    "over escaped lines": lambda text: "\\r\\n".join(
        text[i : i + 16] for i in range(0, len(text), 16)
    ),
    "letter by letter": " ".join,
    "in UTF-16": "\0".join,
}


def bare(text: str) -> str:
    """A text in small letters, with every escape undone and broken lines joined."""
    for form, base in ((r"%(?:25)*([0-9a-f]{2})", 16), (r"\\+u00([0-9a-f]{2})", 16), (r"\\+x([0-9a-f]{2})", 16), (r"&#x([0-9a-f]+);", 16), (r"&#(\d+);", 10)):  # fmt: skip
        text = re.sub(
            form, lambda found, base=base: chr(int(found[1], base)), text, flags=re.IGNORECASE
        )
    return re.sub(r"\\+[nrt]|[\s\0]|\\", "", text).lower()


def shows(text: str, key: str) -> bool:
    """Whether a text has a good part of the key, in any of the forms."""
    seen = bare(text)
    forms = [bare(form(key)) for form in PLAIN.values()]
    return any(form[i : i + 14] in seen for form in forms for i in range(4, len(form) - 18))


@settings(deadline=None, max_examples=400)
@given(
    keys,
    st.sampled_from(sorted(PLAIN)),
    st.sampled_from(sorted(WRITTEN)),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_form_of_the_key_passes_the_mask(
    key: str, form: str, written: str, before: str, after: str
) -> None:
    text = f"{before} {WRITTEN[written](PLAIN[form](key))} {after}"
    assert shows(text, key)
    masked = Key(key).masked(text)
    assert not shows(masked, key), masked
    assert HIDDEN in masked


@settings(deadline=None)
@given(keys, st.text(max_size=300))
def test_other_text_stays_as_it_is(key: str, text: str) -> None:
    assume(not shows(text, key))
    assert Key(key).masked(text) == text


def test_a_long_text_is_looked_through_quickly() -> None:
    key = Key(KEY)
    for text in (
        "A" * 10**6,
        "%37" * 10**5,
        "\\" * 10**5,
        " " * 10**5,
        "7 " * 10**5,
        "db-" + "7" * 28 + " " * 10**5,
    ):
        began = time.perf_counter()
        key.masked(text)
        assert time.perf_counter() - began < 30  # milliseconds; minutes with the square


def test_a_key_shows_nothing_of_itself() -> None:
    key = Key(KEY)
    assert key.reveal() == KEY
    for text in (
        repr(key),
        str(key),
        f"{key}",
        repr(vars(key)),
        repr(Client(KEY)),
        repr(vars(Client(KEY))),
    ):
        assert not shows(text, KEY)
    with pytest.raises(InputError, match="is not a Databento key"):
        Key("db-short")


# ---- a server that says it back


def everything(error: BaseException, seen: set[int] | None = None) -> str:
    """All that anybody can print of an error: itself, what it holds, its chain, and its traceback
    with local variables.
    """
    seen = set() if seen is None else seen
    if id(error) in seen:
        return ""
    seen.add(id(error))
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = [str(error), repr(error), repr(error.args), repr(vars(error)), "".join(report.format())]
    texts += [
        everything(other, seen)
        for other in (error.__cause__, error.__context__)
        if other is not None
    ]
    return "\n".join(texts)


def replies(authorization: str) -> dict[str, Said]:
    """The ways in which a server may return the header that it got."""
    said = f"cannot accept {authorization} of {KEY}"
    return {
        "401": Said(401, {"detail": {"case": said, "message": said}}),
        "403 of text": Said(403, {"detail": said}),
        "422 of a list": Said(422, {"detail": [{"loc": said, "msg": said}]}),
        "400 of HTML": Said(400, f"<html>{said}</html>".encode()),
        "400 over lines": Said(
            400, "\r\n ".join(said[i : i + 9] for i in range(0, len(said), 9)).encode()
        ),
        "500": Said(500, {"detail": said}),
        "503 of text": Said(503, said.encode()),
        "a price": Said(200, said.encode()),
        "a price in JSON": Said(200, {"price": said}),
        "no price": Said(200, [said]),
        "a redirect": Said(
            302,
            b"",
            {"Location": f"http://{KEY}:{quote(authorization)}@example.com/{KEY}?{quote(said)}"},
        ),
        "a host": Said(302, b"", {"Location": f"http://{KEY}.example.com"}),
        "a remark": Said(200, b"-1", {"X-Warning": json.dumps(["Warning: " + said])}),
        "remarks of nonsense": Said(200, b"-1", {"X-Warning": said}),
        "Retry-After": Said(429, b"{}", {"Retry-After": said}),
        "an encoding": Said(200, said.encode(), {"Content-Encoding": "gzip"}),
        "a header that is none": Said(
            200, b"-1", {"X-A": "b\r\n" + said.replace(" ", "\r\n") + "\r\nX-C: d"}
        ),
        "a broken chunk": Said(
            200, b"", {"Transfer-Encoding": f"chunked\r\n\r\n{authorization.split()[-1]}\r\n{KEY}"}
        ),
    }


@pytest.mark.parametrize("kind", sorted(replies("Basic x")))
@pytest.mark.parametrize("call", ["cost", "ranges", "download"])
def test_what_a_server_echoes_is_in_no_message_log_or_traceback(
    quick: None, kind: str, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(patience, "ATTEMPTS", 2)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)  # which prints headers
    caplog.set_level(logging.DEBUG)
    with Standin(small_feed()) as server:
        client = Client(KEY, server.url)
        method = {"cost": "get_cost", "ranges": "get_dataset_range", "download": "get_range"}[call]
        server.fail(replies(f"Basic {basic(KEY)}")[kind], times=2, method=method)
        calls: dict[str, Callable[[], Any]] = {
            "cost": lambda: client.cost(ASK),
            "ranges": lambda: client.ranges("OPRA.PILLAR"),
            "download": lambda: client.download(ASK, lambda: None),
        }
        with client.kept_from_logs(), pytest.raises(FetchError) as raised:
            calls[call]()
    texts = [
        everything(raised.value),
        caplog.text,
        *capfd.readouterr(),
        *(repr(vars(record)) for record in caplog.records),
    ]
    assert "urllib3" in caplog.text
    assert not [text for text in texts if shows(text, KEY)]


def test_the_masks_of_logs_go_with_the_fetch(quick: None) -> None:
    before = [
        list(logging.getLogger(name).filters) for name in ("urllib3", "urllib3.connectionpool")
    ]
    with Key(KEY).kept_from_logs():
        assert logging.getLogger("urllib3.connectionpool").filters
    assert before == [
        list(logging.getLogger(name).filters) for name in ("urllib3", "urllib3.connectionpool")
    ]


def test_a_connection_that_breaks_leaves_no_request_behind(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ATTEMPTS", 1)

    def broken(self: requests.Session, *_: Any, **more: Any) -> None:
        raise requests.ConnectionError(f"{more['auth'].username} {basic(KEY)}", request=more)

    monkeypatch.setattr(requests.Session, "request", broken)
    with pytest.raises(
        FetchError, match=r"last with ConnectionError: db-\.\.\. db-\.\.\."
    ) as raised:
        Client(KEY).cost(ASK)
    assert not shows(everything(raised.value), KEY)
