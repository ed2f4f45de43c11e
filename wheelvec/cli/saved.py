"""The kind of run that was saved in a folder given as --out."""

from pathlib import Path

from wheelvec.model.errors import LakeError

RESULT_INDEX, SWEEP_INDEX, PORTFOLIO_INDEX = "result.json", "sweep.json", "portfolio.json"


def index_of(folder: Path) -> str:
    """The name of the index in a folder, which says whether a run, a sweep or a portfolio is.

    A commit of it counts, which loading completes.

    Raises:
        LakeError: if the folder has none of them, or is none.
    """
    from wheelvec.run.results.folder import COMMIT

    for index in (PORTFOLIO_INDEX, SWEEP_INDEX, RESULT_INDEX):
        if any((folder / place / index).is_file() for place in ("", COMMIT)):
            return index
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "no such folder"
        raise LakeError(f"{folder}: {problem}; expected the folder given as --out")
    raise LakeError(
        f"{folder}: no saved run, sweep or portfolio; it has neither {RESULT_INDEX} nor "
        f"{SWEEP_INDEX} nor {PORTFOLIO_INDEX}"
    )
