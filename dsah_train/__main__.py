"""``python -m dsah_train fit|evaluate|compare``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsah_infer.errors import ConfigError, DsahError, UsageError, install_hint
from dsah_train import require_torch
from dsah_train.config import LEARNT, Config
from dsah_train.config_checks import unread_settings
from dsah_train.config_file import field_name, read_file

__all__ = ["main"]

_log = logging.getLogger(__name__)

_EXAMPLES = """examples:
  python -m dsah_train fit --data pictures/ --bits 48 --out runs/first
  python -m dsah_train fit --data flowers17.zip --bits 12 --time-budget 20m --out runs/flowers12
  python -m dsah_train fit --data flowers17.zip --config my.yaml --set lr=5e-4 --out runs/tuned
  python -m dsah_train evaluate runs/first/ckpt.pt --data pictures/
  python -m dsah_train compare runs/first runs/tuned
"""


def seconds(text: str) -> float:
    """``90``, ``90s``, ``15m`` or ``2h`` in seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:  # NaN is neither
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; give 90s, 15m or 2h")
    return value


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per field of `Config`; those not given leave the preset's value."""
    group = parser.add_argument_group("settings (defaults: --preset best)")
    usual = Config.with_preset()
    for field in dataclasses.fields(Config):
        flag = "--" + field.name.rstrip("_").replace("_", "-")
        within = field.metadata["within"]
        allowed = f"{within[0]} to {within[1]}, " if within else ""
        default = getattr(usual, field.name)
        shown = "none" if default == "" else default
        text = f"{field.metadata['help']} ({allowed}default: {shown})".replace("%", "%%")
        if str(field.type) == "bool":
            group.add_argument(
                flag, dest=field.name, action=argparse.BooleanOptionalAction, help=text
            )
        else:
            kind = {"int": int, "float": float, "str": str}[str(field.type)]
            choices = field.metadata["choices"] or None
            group.add_argument(flag, dest=field.name, type=kind, choices=choices, help=text)


def config_from(args: argparse.Namespace) -> Config:
    """Preset, then the file, then ``--set``, then the flags."""
    values: dict[str, Any] = read_file(args.config) if args.config else {}
    for item in args.set:
        name, separator, text = item.partition("=")
        if not separator:
            raise ConfigError(f"--set {item}: expected name=value")
        name = field_name(name)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        values[name] = value
    for field in dataclasses.fields(Config):
        given = getattr(args, field.name)
        if given is not None:
            values[field.name] = given
    config = Config.with_preset(**values)
    alone = "image_size" in values and "train_size" not in values and config.train_trunk
    if alone and config.method in LEARNT.split() and config.image_size != config.train_size:
        _log.warning(
            "train_size stays %d while image_size is %d: give --train-size too, to train on views "
            "as large as what is encoded",
            config.train_size,
            config.image_size,
        )
    # What usual values go by; `alternate` chooses weights, and is a setting like any other itself.
    by = {n: values[n] for n in ("preset", "method", "backbone", "teacher") if n in values}
    turns = {"alternate": values["alternate"]} if "alternate" in values else {}
    usual = Config.with_preset(**by, **turns).replace(alternate=Config.with_preset(**by).alternate)
    for unread in unread_settings(config, usual, values):
        _log.warning("%s", unread)
    return config


def run_fit(args: argparse.Namespace) -> int:
    """Train; prints where the checkpoint is and what to do next."""
    config = config_from(args)
    require_torch()
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file; name a folder")
    from dsah_train.data import load_dataset

    dataset = load_dataset(
        args.data, split_seed=config.split_seed, protocol=config.protocol or None
    )
    print(dataset.summary(), flush=True)
    if dataset.note:
        print(f"note: {dataset.note}", flush=True)
    from dsah_train.fit import fit  # after the data: importing torch takes seconds

    path = fit(
        config,
        dataset,
        args.out,
        weights=args.weights,
        device=args.device,
        time_budget=args.time_budget,
        progress=not args.quiet,
    )
    print(
        f"checkpoint: {path}\nnext: python -m dsah_train evaluate {path} --data {args.data}\n"
        f"then: python export/to_onnx.py {path}"
    )
    return 0


def _protocols() -> str:
    """What ``--protocol`` takes."""
    from dsah_train.data.protocols import describe_protocols

    return f"""
protocols (--protocol; what is not named is found from the data):
  folders                 train/, query/ and perhaps gallery/, as they are
  class-folders           a quarter of each class folder, drawn by the split seed, asks
  manifest                a .csv or .jsonl file with its own split column, or drawn alike
{textwrap.indent(describe_protocols(), "  ")}
  open-set[:WHAT][@BASE]  BASE, with classes held out of training: WHAT of them, or by name
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dsah_train",
        allow_abbrev=False,
        description="Learn compact binary codes with attention, and measure them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    fit = verbs.add_parser(
        "fit",
        allow_abbrev=False,
        usage="%(prog)s --data DATA --out RUN [--preset best|paper] [--method NAME] [settings]",
        help="train a model",
        epilog=_EXAMPLES + _protocols(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument(
        "--data",
        required=True,
        help="folder or archive of class folders or of an official set, a .csv or .jsonl manifest, "
        "or embedded:marks",
    )
    fit.add_argument("--out", type=Path, required=True, help="run folder; resumed if it exists")
    fit.add_argument(
        "--weights", default="auto", help="FILE, imagenet, none or auto (default: auto)"
    )
    fit.add_argument("--time-budget", type=seconds, help="90s, 15m, 2h: shorten the run to fit")
    fit.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    fit.add_argument("--config", type=Path, help="settings from a .yaml or .json file")
    fit.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    fit.add_argument("--quiet", action="store_true", help="no progress bars")
    add_config_flags(fit)
    fit.set_defaults(
        run=run_fit, interrupted="the same command resumes after the last epoch that was saved"
    )

    from dsah_train import compare, evaluation

    for name, module, text in (
        ("evaluate", evaluation, "measure a checkpoint or an exported model"),
        ("compare", compare, "put several runs side by side"),
    ):
        verb = verbs.add_parser(
            name,
            allow_abbrev=False,
            help=text,
            epilog=_EXAMPLES + (_protocols() if module is evaluation else ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run, interrupted="the same command starts again")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (2 usage, 1 failure, 130 interrupted)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # What the data layer and the weights warn of, without the line of code that did.
    warnings.showwarning = lambda message, *_, **__: logging.getLogger(__name__).warning(
        "warning: %s", message
    )
    args = argparse.Namespace(interrupted="nothing was begun")
    try:
        args = build_parser().parse_args(argv)
        code: int = args.run(args)
    except DsahError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(f"error: {error}; {install_hint('train')}", file=sys.stderr)
        return 1
    except OSError as error:  # the disk is full, the folder is read-only, ...
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {args.interrupted}", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
