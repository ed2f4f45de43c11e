"""A vendor's key that shows itself nowhere.

Not in a message, a log, a repr or a traceback, in no form of writing.
"""

import base64
import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence

from wheelvec.vendors.databento.access import checked_key

HIDDEN = "db-..."
_LONGEST = 8192  # characters of a vendor's text that are looked at; what is shown is far shorter
# a character of a text, if it is escaped as in URLs, JSON, Python or HTML; and a line's end in
# words
_CHARACTER = re.compile(
    r"%(?:25){0,4}([0-9a-f]{2})|\\{1,8}u00([0-9a-f]{2})|\\{1,8}x([0-9a-f]{2})|&#x0{0,8}([0-9a-f]{1,4});|&#0{0,8}(\d{1,4});"
    r"|\\{1,8}[nrt]|.",
    re.IGNORECASE | re.DOTALL,
)
_BREAK = re.compile(r"[\s\x00\u200b\\]|\\+[nrt]")  # what may break a key off: it goes on behind
_BESIDE = re.compile(r"[\w+/=-]")  # what stands beside a part of a key is a part of it
_LOGGERS = ("urllib3", "requests", "charset_normalizer", "chardet", "tenacity")


class Key:
    """Databento's key: `reveal()` gives it, `masked` takes it out of a text.

    Args:
        text: 32 characters starting with "db-".

    Raises:
        InputError: for a text of another form, which is not shown.
    """

    def __init__(self, text: str) -> None:
        checked_key(text)
        forms = _forms(text[3:])
        # in functions, so that no dump of attributes shows them
        self.reveal: Callable[[], str] = lambda: text
        self._hide: Callable[[str], str] = lambda shown: _without(shown, forms)

    def __repr__(self) -> str:
        return HIDDEN

    def masked(self, text: object) -> str:
        """A text without the key, in any of the forms in which it may stand there.

        It may be plain, base64 (the form of HTTP's basic authentication) or hexadecimal digits, its
        characters escaped as in URLs, JSON, Python or HTML, and broken over lines.
        """
        return self._hide(str(text)[:_LONGEST])

    @contextlib.contextmanager
    def kept_from_logs(self) -> Iterator[None]:
        """Mask what the libraries that carry the key log meanwhile.

        They quote answers that they cannot read.
        """
        masking = _Masking(self)
        loggers = [
            logging.getLogger(name)
            for name in {*logging.Logger.manager.loggerDict, *_LOGGERS}
            if name.partition(".")[0] in _LOGGERS
        ]
        for logger in loggers:
            logger.addFilter(masking)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(masking)


class _Masking(logging.Filter):
    def __init__(self, key: Key) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._key.masked(record.getMessage()), ()
        record.exc_info = record.exc_text = record.stack_info = (
            None  # an exception quotes the answer, and holds the request
        )
        return True


def _forms(secret: str) -> tuple[str, ...]:
    """Ways to write what stands behind "db-", in small letters."""
    found = [secret, secret.encode().hex()]
    for before in range(
        3
    ):  # base64 writes three bytes as four characters: where the key begins among them decides
        first, last = 8 * before, 8 * (before + len(secret))
        whole = base64.b64encode(bytes(before) + secret.encode()).decode()[
            -(-first // 6) : last // 6
        ]
        found += [whole, whole.translate(str.maketrans("+/", "-_"))]
    return tuple({form.lower() for form in found})


def _without(text: str, forms: Sequence[str]) -> str:
    """A text with `HIDDEN` where one of the forms stands, however its characters are escaped or
    broken off.
    """
    places, chars = [], []  # in the text, and the small letters that stand there
    for found in _CHARACTER.finditer(text):
        code = found.lastindex
        char = found[0] if code is None else chr(int(found[code], 10 if code == 5 else 16))
        if not _BREAK.fullmatch(char):
            places.append(found.span())
            chars.append(char.lower()[:1])
    plain, result, done = "".join(chars), [], 0
    while hits := [at for form in forms if (at := plain.find(form, done)) >= 0]:
        first = min(hits)
        last = max(first + len(form) for form in forms if plain.startswith(form, first)) - 1
        first, last = (
            _widened(plain, places, first, -1, done),
            _widened(plain, places, last, 1, len(plain) - 1),
        )
        result.append((places[first][0], places[last][1]))
        done = last + 1
    for begin, end in reversed(result):
        text = text[:begin] + HIDDEN + text[end:]
    return text


def _widened(plain: str, places: Sequence[tuple[int, int]], at: int, step: int, limit: int) -> int:
    """The last place from `at` on that is joined to it, with nothing in between, and may be a part
    of a key.
    """
    while at * step < limit * step and _BESIDE.fullmatch(plain[at + step]):
        one, other = sorted((at, at + step))
        if places[one][1] != places[other][0]:
            break
        at += step
    return at
