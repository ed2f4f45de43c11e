"""How many contracts are listed again, worked by hand."""

import numpy as np

from wheelvec.kernels.listing import Listed, count_again


def counted(
    contract: list[int], begins: list[int], days: list[int] | None = None, least: int = 5
) -> tuple[list[int], list[int]]:
    """Contracts listed by session, and listed again; `days` from each session to the expiration."""
    session = np.repeat(np.arange(len(begins) - 1), np.diff(begins)).astype(np.int32)
    left = np.full(len(contract), 30) if days is None else np.array(days)
    quotes = Listed(np.array(contract, np.int64), session, (session + left).astype(np.int32))
    listed, again = np.zeros((2, len(begins) - 1), np.int64)
    count_again(quotes, np.array(begins), least, np.full(8, -1), listed, again)
    return listed.tolist(), again.tolist()


def test_contracts_that_are_listed_again() -> None:
    # three sessions: 1 (twice), 2, 3 | 2, 9 (where 1 would be in the table) | 17, 2
    listed, again = counted([1, 1, 2, 3, 2, 9, 17, 2], [0, 4, 6, 8])
    assert listed == [3, 2, 2]
    # of the first session 2 alone, of the second 2 alone; nothing follows the third
    assert again == [1, 1, 0]


def test_a_contract_about_to_expire_is_not_counted() -> None:
    # 5 has four days left on the first session, and three on the second; 6 has five and four
    assert counted([5, 6, 5, 6], [0, 2, 4], days=[4, 5, 3, 4]) == ([1, 0], [1, 0])


def test_a_contract_about_to_expire_is_listed_again() -> None:
    assert counted([6, 6], [0, 1, 2], days=[5, 4]) == ([1, 0], [1, 0])


def test_no_session() -> None:
    assert counted([], [0]) == ([], [])
