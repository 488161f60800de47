"""Write the tables of README.md, docs/results.md and docs/export.md from the result files.

    python results/table.py            # rewrite them
    python results/table.py --check    # exit 1 if they are not what the files say

A table stands between ``<!-- results:NAME -->`` and ``<!-- /results:NAME -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from results.tables import TABLES  # noqa: E402

DOCUMENTS = tuple(ROOT / name for name in ("README.md", "docs/results.md", "docs/export.md"))
MARKERS = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)


def render(text: str) -> str:
    """The text with every marked table made anew; `KeyError` names an unknown table."""
    return MARKERS.sub(lambda m: f"{m[1]}{TABLES[m[2]]()}\n{m[3]}", text)


def main() -> None:
    """Rewrite or check the documents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    for path in DOCUMENTS:
        old = path.read_text(encoding="utf-8")
        new = render(old)
        if args.check and new != old:
            sys.exit(f"{path.relative_to(ROOT)} differs: run python results/table.py")
        path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
