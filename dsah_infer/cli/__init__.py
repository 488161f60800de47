"""The ``dsah`` command. Each verb is a module of this package with `configure` and `run`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from dsah_infer import __version__
from dsah_infer.cli import add, dedup, doctor, encode, index, info, remove, saliency, search
from dsah_infer.errors import DsahError, PictureError, SpaceMismatchError

__all__ = ["main"]

VERBS = (encode, index, search, add, remove, info, dedup, saliency, doctor)
INTERRUPTED = 130
_EXAMPLES = """examples:
  dsah index photos/ -m model.onnx -o gallery.dsah
  dsah search gallery.dsah query.jpg -k 10 --html result.html
  dsah doctor -m model.onnx

'dsah VERB --help' shows the options of a verb, with examples.
"""


_OTHER_MODEL = """
The gallery was made by another file than this model, or by what the file was before it was trained
anew; pictures that are indexed anew with this model can be searched with it."""


class _Parser(argparse.ArgumentParser):
    """Takes options by their full names, and leaves empty lines of @lists out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        return [arg_line] if arg_line.strip() else []


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a failure, 2 for usage, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(message)s"
    )
    try:
        args.run(args)
    except SpaceMismatchError as error:
        advice = "" if getattr(args, "mix", True) else _OTHER_MODEL
        return _failed(args.verb, f"{error}{advice}", error.exit_code)
    except PictureError as error:
        advice = " (--on-error skip leaves such pictures out)" if "on_error" in args else ""
        return _failed(args.verb, f"{error}{advice}", error.exit_code)
    except DsahError as error:
        return _failed(args.verb, str(error), error.exit_code)
    except KeyboardInterrupt as stop:
        kept = str(stop) or "no file is half written"
        return _failed(args.verb, f"interrupted; {kept}", INTERRUPTED)
    except BrokenPipeError:  # `dsah ... | head` has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:  # the disk is full, the output folder is read-only, ...
        return _failed(args.verb, str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dsah",
        description="Pictures to binary codes to ranked galleries, from one exported model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dsah {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in VERBS:
        summary, _, examples = (module.__doc__ or "").partition("\n")
        verb = verbs.add_parser(
            module.__name__.rpartition(".")[2],
            help=summary,
            description=summary,
            epilog=examples.strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            fromfile_prefix_chars="@",
        )
        verb.add_argument("-v", "--verbose", action="store_true", help="say what is going on")
        module.configure(verb)
        verb.set_defaults(run=module.run)
    return parser


def _failed(verb: str, message: str, code: int) -> int:
    print(f"dsah {verb}: {message}", file=sys.stderr)
    return code
