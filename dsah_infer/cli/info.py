"""say what a model, gallery or checkpoint file holds

examples:
  dsah info model.onnx
  dsah info gallery.dsah --items
  dsah info RUN/ckpt.pt --json

A checkpoint is read without PyTorch.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from dsah_infer.describe import describe
from dsah_infer.gallery import Gallery


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="model.onnx, model.plan, gallery or ckpt.pt")
    parser.add_argument("--items", action="store_true", help="list the pictures of a gallery")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print the facts, one a line."""
    facts = describe(args.file)
    if args.items:
        gallery = Gallery.load(args.file)
        facts["pictures"] = [gallery.place(gallery.items[id_]) for id_ in sorted(gallery.items)]
    if args.json:
        print(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {_readable(value)}")


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_readable(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_readable, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)
