"""Downloads against a loopback server: whole or not at all, resumed only where it is the same file."""

import hashlib
import json
import random
from pathlib import Path

import pytest

import wheelvec as wv
from tests.vendors.mirror import Mirror, serving
from wheelvec.vendors import download as downloads
from wheelvec.vendors.download import download

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    monkeypatch.setattr(downloads, "BLOCK", 10_000)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with serving({"a.bin": CONTENT}) as mirror:
        download(f"{mirror.url}/a.bin", tmp_path / "a.bin", lambda *n: seen.append(n))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]
    assert downloads.digest_of(tmp_path / "a.bin") == hashlib.sha256(CONTENT).hexdigest()
    assert (seen[0], seen[-1]) == ((10_000, 300_000), (300_000, 300_000))


@pytest.mark.parametrize("redirect", [False, True])
def test_a_body_that_breaks_off_is_continued_where_it_ended(tmp_path: Path, redirect: bool) -> None:
    with serving({"a.bin": CONTENT}, cuts=[100_000, 0, 50_000], redirect=redirect) as mirror:
        download(f"{mirror.url}/a.bin", tmp_path / "a.bin")
        ranges = [asked for path, asked, _ in mirror.asked if path.startswith("/stored") or not redirect]  # fmt: skip
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]


def test_the_next_run_goes_on_where_the_last_one_gave_up(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with serving({"a.bin": CONTENT}, cuts=[70_000, *[0] * 20]) as mirror:
        with pytest.raises(wv.FetchError, match=r"broke off after 70,000 of 300,000.*6 times.*run again"):  # fmt: skip
            download(f"{mirror.url}/a.bin", path)
        assert names(tmp_path) == [".a.bin.part", ".a.bin.part.json"]
        mirror.cuts.clear()
        mirror.asked.clear()
        download(f"{mirror.url}/a.bin", path)
        assert [asked for _, asked, _ in mirror.asked] == ["bytes=70000-"]
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def cut_off(tmp_path: Path, mirror: Mirror, size: int = 70_000) -> str:
    """Leave a part of a.bin, and return its address."""
    mirror.cuts[:] = [size, *[0] * 20]
    with pytest.raises(wv.FetchError):
        download(f"{mirror.url}/a.bin", tmp_path / "a.bin")
    mirror.cuts.clear()
    mirror.asked.clear()
    return f"{mirror.url}/a.bin"


@pytest.mark.parametrize("ignores", [False, True])
@pytest.mark.parametrize("other", [OTHER, OTHER[:200_000], OTHER[:50_000], OTHER + OTHER])
def test_a_file_that_has_changed_begins_anew(tmp_path: Path, other: bytes, ignores: bool) -> None:
    """Also from a server that answers with a range of the other version."""
    with serving({"a.bin": CONTENT}, ignores_if_range=ignores) as mirror:
        url = cut_off(tmp_path, mirror)
        mirror.files["/a.bin"] = other
        download(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == other
    assert names(tmp_path) == ["a.bin"]


def test_a_time_of_modification_serves_where_there_is_no_strong_tag(tmp_path: Path) -> None:
    date = "Tue, 03 Mar 2026 10:00:00 GMT"
    for headers in ({}, {"ETag": 'W/"weak"'}):
        with serving({"a.bin": CONTENT}, tags=False, dated=date, headers=headers) as mirror:
            url = cut_off(tmp_path, mirror)
            download(url, tmp_path / "a.bin")
            assert mirror.asked == [("/a.bin", "bytes=70000-", date)]
        assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_without_a_version_every_run_begins_anew(tmp_path: Path) -> None:
    with serving({"a.bin": CONTENT}, tags=False) as mirror:
        url = cut_off(tmp_path, mirror)
        download(url, tmp_path / "a.bin")
        assert mirror.asked == [("/a.bin", None, None)]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    with serving({"a.bin": CONTENT}, ranges=False) as mirror:
        url = cut_off(tmp_path, mirror)
        download(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_of_another_address_or_a_harmed_note_is_not_continued(tmp_path: Path) -> None:
    with serving({"a.bin": CONTENT, "b.bin": OTHER}) as mirror:
        cut_off(tmp_path, mirror)
        download(f"{mirror.url}/b.bin", tmp_path / "a.bin")
        assert (tmp_path / "a.bin").read_bytes() == OTHER
        url = cut_off(tmp_path, mirror)
        (tmp_path / ".a.bin.part.json").write_text("{")
        download(url, tmp_path / "a.bin")
        assert mirror.asked[0] == ("/a.bin", None, None)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_run_killed_before_the_last_rename_asks_for_nothing(tmp_path: Path) -> None:
    with serving({"a.bin": CONTENT}) as mirror:
        url = cut_off(tmp_path, mirror)
        (tmp_path / ".a.bin.part").write_bytes(CONTENT)
        download(url, tmp_path / "a.bin")
        assert mirror.asked == []
    assert names(tmp_path) == ["a.bin"]


def test_a_part_longer_than_the_file_begins_anew(tmp_path: Path) -> None:
    with serving({"a.bin": CONTENT}) as mirror:
        url = cut_off(tmp_path, mirror)
        (tmp_path / ".a.bin.part").write_bytes(CONTENT + b"more")
        download(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_passing_failures_are_tried_again_and_refusals_are_not(tmp_path: Path) -> None:
    with serving({"a.bin": CONTENT}, statuses=[503, 429, 500]) as mirror:
        download(f"{mirror.url}/a.bin", tmp_path / "a.bin")
        assert len(mirror.asked) == 4
        with pytest.raises(wv.FetchError, match="refuses it with status 404") as caught:
            download(f"{mirror.url}/b.bin", tmp_path / "b.bin")
        assert caught.value.status == 404
        assert len(mirror.asked) == 5
        mirror.statuses[:] = [503] * 50
        with pytest.raises(wv.FetchError, match=r"status 503, 6 times in a row$"):
            download(f"{mirror.url}/a.bin", tmp_path / "c.bin")
    assert names(tmp_path) == ["a.bin"]


def test_answers_that_cannot_be_trusted_are_refused(tmp_path: Path) -> None:
    refused = [
        ({"Content-Length": None}, "does not say how long"),
        ({"Content-Encoding": "gzip"}, "compressed"),
    ]
    for headers, expected in refused:
        server = serving({"a.bin": CONTENT}, headers=headers)
        with server as mirror, pytest.raises(wv.FetchError, match=expected):
            download(f"{mirror.url}/a.bin", tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_nobody_there(tmp_path: Path) -> None:
    with serving({}) as mirror:
        url = f"{mirror.url}/a.bin"
    with pytest.raises(wv.FetchError, match=r"the connection failed \(.*refused"):
        download(url, tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_no_redirection_to_an_open_connection() -> None:
    request = downloads.urllib.request.Request("https://example.org/a")
    follow = downloads._Redirects().redirect_request
    with pytest.raises(wv.FetchError, match=r"refused to follow it to http://example.org/a$"):
        follow(request, None, 302, "", {}, "http://example.org/a?token=1")
    assert follow(request, None, 302, "", {}, "https://example.org/b").full_url.endswith("/b")


def test_an_empty_file_is_one(tmp_path: Path) -> None:
    with serving({"a.bin": b""}) as mirror:
        download(f"{mirror.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b""


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with serving({"a.bin": CONTENT}) as mirror:
        url = cut_off(tmp_path, mirror)
        monkeypatch.setattr(downloads.atomic, "sync_file", full)
        with pytest.raises(wv.LakeError, match=r"a.bin: cannot be written: No space left"):
            download(url, tmp_path / "a.bin")
        monkeypatch.undo()
    stated = json.loads((tmp_path / ".a.bin.part.json").read_text())
    assert stated["size"] == len(CONTENT)
