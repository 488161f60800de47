"""The ``dsah`` command. Each verb is a module of this package with `configure` and `run`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from dsah_infer import __version__
from dsah_infer.cli import add, dedup, doctor, encode, index, info, remove, saliency, search
from dsah_infer.errors import DsahError

__all__ = ["main"]

VERBS = (encode, index, search, add, remove, info, dedup, saliency, doctor)
INTERRUPTED = 130
_EXAMPLES = """examples:
  dsah index photos/ -m model.onnx -o gallery.dsah
  dsah search gallery.dsah query.jpg -k 10 --html result.html
  dsah doctor -m model.onnx

'dsah VERB --help' shows the options of a verb, with examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a failure, 2 for usage, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(message)s"
    )
    try:
        args.run(args)
    except DsahError as error:
        return _failed(args.verb, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _failed(args.verb, "interrupted; no file is half written", INTERRUPTED)
    except BrokenPipeError:  # `dsah ... | head` has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:  # the disk is full, the output folder is read-only, ...
        return _failed(args.verb, str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
