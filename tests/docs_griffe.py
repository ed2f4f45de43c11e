"""The docstrings of the package as mkdocstrings reads them (mkdocs.yml names this file)."""

import importlib
import re
from typing import Any

from griffe import Class, Extension, Object


def as_page(text: str) -> str:
    """A docstring with the headings that griffe knows, types as code, and links to pages."""
    text = re.sub(r"(?m)^Example:$", "Examples:", text)
    text = re.sub(r"(?m)^Fields:$", "Attributes:", text)
    text = re.sub(r"(?m)^( {4}\w+): (\S.* = .*)$", r"\1: `\2`.", text)
    return re.sub(r"\b(?:docs/)?(\w+)\.md\b", r"[\1.md](\1.md)", text)


class AsWritten(Extension):
    """Docstrings as they are when the package runs."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Take a docstring, of a part of a configuration with its fields, which its attributes
        would say again.
        """
        if obj.docstring is None:
            return
        if isinstance(obj, Class) and obj.module.path.startswith("wheelvec.model."):
            text = getattr(importlib.import_module(obj.module.path), obj.name).__doc__ or ""
            if "\nFields:\n" in text:
                obj.docstring.value = text
                for name, found in list(obj.members.items()):
                    if found.is_attribute and "property" not in found.labels:
                        del obj.members[name]
        obj.docstring.value = as_page(obj.docstring.value)
