"""A missing package is named, with the command that brings it."""

from __future__ import annotations

import pytest

from export.requirements import need


def test_names_what_is_missing_and_how_to_get_it() -> None:
    need("numpy")
    with pytest.raises(SystemExit, match=r"nosuchpackage.*\.\[export\]"):
        need("numpy", "nosuchpackage")
