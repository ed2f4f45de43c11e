"""A vendor's key that is never shown: not in a message, log, repr or traceback, in any encoding."""

import base64
import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence

from wheelvec.vendors.databento.access import checked_key

HIDDEN = "db-..."
_LONGEST = 8192  # characters of a vendor's text that are searched; far fewer are shown
# a character of a text, plain or escaped as in URLs, JSON, Python or HTML; and an escaped end of a
# line
_CHARACTER = re.compile(
    r"%(?:25){0,4}([0-9a-f]{2})|\\{1,8}u00([0-9a-f]{2})|\\{1,8}x([0-9a-f]{2})"
    r"|&#x0{0,8}([0-9a-f]{1,4});|&#0{0,8}(\d{1,4});|\\{1,8}[nrt]|.",
    re.IGNORECASE | re.DOTALL,
)
_BREAK = re.compile(r"[\s\x00\u200b\\]|\\+[nrt]")  # characters that may interrupt a key
_BESIDE = re.compile(r"[\w+/=-]")  # characters next to a key that may belong to it
_LOGGERS = ("urllib3", "requests", "charset_normalizer", "chardet", "tenacity")


class Key:
    """Databento's key: `reveal()` returns it, `masked` removes it from a text.

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
        """A text without the key, in any encoding in which it may be there.

        These are plain text, base64 (as in HTTP's basic authentication) and hexadecimal digits,
        with characters escaped as in URLs, JSON, Python or HTML, and broken over lines.
        """
        return self._hide(str(text)[:_LONGEST])

    @contextlib.contextmanager
    def kept_from_logs(self) -> Iterator[None]:
        """Mask the key in log messages of the HTTP libraries until the block ends.

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
        # an exception quotes the answer, and contains the request
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def _forms(secret: str) -> tuple[str, ...]:
    """The encodings of the key after "db-", in lower case."""
    found = [secret, secret.encode().hex()]
    # base64 encodes three bytes as four characters: the result depends on the offset of the key
    for before in range(3):
        first, last = 8 * before, 8 * (before + len(secret))
        whole = base64.b64encode(bytes(before) + secret.encode()).decode()[
            -(-first // 6) : last // 6
        ]
        found += [whole, whole.translate(str.maketrans("+/", "-_"))]
    return tuple({form.lower() for form in found})


def _without(text: str, forms: Sequence[str]) -> str:
    """A text with `HIDDEN` in place of each of the forms, escaped or broken over lines or not."""
    places, chars = [], []  # begin and end in the text, and the character in lower case
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
    """The last index from `at` on whose characters all follow without a gap and may be a key's."""
    while at * step < limit * step and _BESIDE.fullmatch(plain[at + step]):
        one, other = sorted((at, at + step))
        if places[one][1] != places[other][0]:
            break
        at += step
    return at
