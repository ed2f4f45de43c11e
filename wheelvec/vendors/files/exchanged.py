"""Days of a file whose month and day are exchanged: they show by days that are no sessions."""

import datetime as dt
from collections.abc import Collection

from wheelvec.model.errors import DataError, listed
from wheelvec.tables.sessions import Sessions
from wheelvec.vendors.files.layout import Layout

# Where so large a share of the days are no sessions, and none is with day and month exchanged, the
# dates were written the other way around.
_SWAPPED, _FEWEST_DAYS = 0.2, 3


def refuse_exchanged(
    name: object, layout: Layout, days: Collection[dt.date], calendar: str
) -> None:
    """Refuse a file whose days are sessions only once day and month are exchanged.

    Args:
        name: of the file.
        layout: its layout.
        days: the days that were read.
        calendar: the exchange's calendar.

    Raises:
        DataError: if they are; it names a day that is no session, and the layout's formats.
    """
    iso = all(form.startswith("%Y") for form in layout.dates)
    if iso or len(days) < _FEWEST_DAYS or any(day.day > 12 for day in days):
        return
    read = set(days)
    swapped = {day.replace(month=day.day, day=day.month) for day in read}
    sessions = Sessions.known(calendar, min(read | swapped), max(read | swapped))
    open_days = set(sessions.frame["session"])
    odd = read - open_days
    if len(odd) > _SWAPPED * len(read) and not swapped - open_days:
        raise DataError(
            f"{name}: {len(odd)} of {len(read)} days are no sessions, such as {min(odd)}, and "
            "with day and month exchanged all of them are: the dates are not written as "
            f"the layout {layout.name} says ({listed(layout.dates)})"
        )
