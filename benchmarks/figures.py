"""The measured figures, `figures.json`: each command that measures replaces its own part; `report`
makes the page of them.
"""

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("figures.json")


def read(path: Path = PATH) -> dict[str, Any]:
    """All parts; none where nothing was measured yet."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def update(part: str, content: Any, path: Path = PATH) -> None:
    """Replace one part."""
    figures = read(path) | {part: content}
    path.write_text(json.dumps(rounded(figures), indent=1, sort_keys=True) + "\n")


def rounded(value: Any) -> Any:
    """Numbers with four significant digits: more would be noise, and noise in every diff."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
