#!/usr/bin/env python3
"""The failure matrix: hosts in network namespaces, faults between and in them, viewers that are counted (README.md)."""
import argparse
import os
import pathlib
import random
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab

TROUBLE_LINES = 12  # of one failure
QUICK = ("1", "2", "3", "4", "7", "11", "12", "13", "21", "25", "multicast", "static")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="numbers, or chaos (default: all rows)")
    parser.add_argument("--quick", action="store_true", help="smaller, shorter; durations against 4 times their bounds")
    parser.add_argument("--rounds", type=int, default=0, help="of rows that have rounds")
    parser.add_argument("--seed", type=int, default=None, help="of chaos, to play it again")
    parser.add_argument("--minutes", type=float, default=None, help="of chaos")
    parser.add_argument("--build", help="folder with sluice and sluice-bench (default: build/)")
    parser.add_argument("--logs", action="store_true", help="show the nodes' logs of a row that fails")
    return parser.parse_args()


def run_one(number, title, function, args, media):
    """True when it holds."""
    import bed
    from row import Run
    run = Run(number, args, media, args.seed)
    begin = time.monotonic()
    print(f"-- row {number}: {title}", flush=True)
    try:
        function(run)
        trouble = run.broken
    except Exception as e:
        where = traceback.extract_tb(e.__traceback__)
        spot = next((f for f in where if "rows_" in f.filename or "chaos" in f.filename), where[-1])
        if args.logs and bed.Bed.newest is not None:
            print(bed.Bed.newest.logs(), flush=True)
        trouble = [*run.broken, f"{type(e).__name__} at {os.path.basename(spot.filename)}:{spot.lineno}: {e}"]
    print(f"{run.line()} {'FAILED' if trouble else 'ok'} ({time.monotonic() - begin:.0f} s)", flush=True)
    for text in trouble:
        print("   " + "\n   ".join(text.splitlines()[-TROUBLE_LINES:]), flush=True)
    return not trouble


def main():
    args = arguments()
    if args.build:
        os.environ["SLUICE_BINARY"] = str(pathlib.Path(args.build).resolve() / "sluice")
    lab.enter()
    import bed
    import row
    import chaos  # noqa: F401, registers itself
    import rows_masterless  # noqa: F401, registers its rows
    import rows_node  # noqa: F401
    import rows_origin  # noqa: F401
    import rows_publisher  # noqa: F401
    import rows_redis  # noqa: F401
    import rows_viewer  # noqa: F401
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    known = {str(n): row.rows[n] for n in sorted(row.rows, key=str)}
    numbers = [str(n) for n in sorted((n for n in row.rows if n != "chaos"), key=lambda n: (isinstance(n, str), n))]
    wanted = args.rows or [n for n in numbers if not args.quick or n in QUICK]
    for number in wanted:
        if number not in known:
            lab.fail(f"no such row: {number} (there are {' '.join(known)})")
    good = 0
    with tempfile.TemporaryDirectory(dir=lab.PRIVATE) as folder:
        media = bed.make_media(folder)
        for number in wanted:
            good += run_one(number, *known[number], args, media)
    print(f"{good} passed, {len(wanted) - good} failed")
    sys.exit(0 if good == len(wanted) else 1)


if __name__ == "__main__":
    main()
