"""show what this machine and installation can really do

examples:
  dsah doctor
  dsah doctor -m model.onnx
  dsah doctor -m model.onnx --device cuda

With a model it is run once, and the provider of each node is listed: a provider that onnxruntime
lists may still not load, and a session may still leave nodes on the CPU. Exit code 1 when
something is wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from dsah_infer.doctor import examine
from dsah_infer.errors import DeviceError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-m", "--model", metavar="MODEL", help="exported model for a probe run")
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "tensorrt"), help="of the probe"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    report = examine(args.model, args.device)
    if args.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        for title, facts in report.sections.items():
            print(title)
            width = max(map(len, facts))
            for name, fact in facts.items():
                print(f"  {name:{width}}  {fact}")
    if report.problems:
        raise DeviceError("; ".join(report.problems))
    if not args.json:
        print("nothing is wrong")
