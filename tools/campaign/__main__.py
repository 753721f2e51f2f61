"""Changes `stack/` and `ops/` in one place at a time, and sees whether the rehearsals notice.

    python tools/campaign run                      every mutant of the share; goes on where it was left
    python tools/campaign run --count 100 --seed 7 a sample
    python tools/campaign run --unlisted           none of which it is known that they survive
    python tools/campaign run --only gateway.py    those with this text in their name
    python tools/campaign report                   the figures, and each survivor that nobody has reviewed

A survivor needs a reason in survivors.yaml, or the campaign fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import yaml  # noqa: E402
from operators import Mutant, modules_of, mutants_of  # noqa: E402
from warm import Rehearsals, to_row  # noqa: E402

SURVIVORS = HERE / "survivors.yaml"
EQUIVALENT = "equivalent"
KINDS = (EQUIVALENT, "not in any runbook", "redundant")
SHARE = 6
"""One mutant in so many is run: they are drawn by their names, so that everybody runs the same ones."""


def population(share: int) -> list[Mutant]:
    """Return the mutants that a campaign is about."""
    found = (mutant for path in modules_of("stack", "ops") for mutant in mutants_of(path))
    return [mutant for mutant in found if mutant.drawn % share == 0]


def reviewed(file: Path) -> list[tuple[str, str, str]]:
    """Return (name or pattern of names, kind, reason) of each survivor that somebody has looked at."""
    entries = yaml.safe_load(file.read_text()) if file.is_file() else None
    wrong = [entry for entry in entries or () if entry["kind"] not in KINDS or not entry["reason"].strip()]
    if wrong:
        sys.exit(f"{file}: expected a kind of {', '.join(KINDS)} and a reason, saw {wrong[0]}")
    return [(name, entry["kind"], entry["reason"]) for entry in entries or () for name in entry["mutants"]]


class State:
    """How each mutant ended so far: one line of JSON each, the last one counts."""

    def __init__(self, file: Path) -> None:
        self.file = file
        rows = map(json.loads, file.read_text().splitlines()) if file.is_file() else ()
        self.ended = {row["mutant"]: row for row in rows}

    def note(self, row: str) -> None:
        """Add how one ended; workers write to one file."""
        with self.file.open("a") as to:
            to.write(row + "\n")


def _names(name: str, key: str, ended: str) -> bool:
    """Whether an entry of the survivors is about a mutant; what was run and survived is named in full."""
    return key == name or (ended == "unreached" and name.endswith("*") and key.startswith(name[:-1]))


def is_settled(row: dict[str, str] | None, reasons: list[tuple[str, str, str]]) -> bool:
    """Whether a mutant was killed, or lives for a reason that somebody has given."""
    if row is None:
        return False
    lives = row["ended"] in ("survived", "unreached")
    return not lives or any(_names(name, row["mutant"], row["ended"]) for name, _, _ in reasons)


def run(mutants: list[Mutant], state: State, workers: int) -> None:
    """Judge the mutants in processes of their own, each a share of them."""
    pids = []
    for worker in range(workers):
        pid = os.fork()
        if pid == 0:
            try:
                with tempfile.TemporaryDirectory(prefix="campaign-") as scratch:
                    for mutant, outcome in Rehearsals(Path(scratch)).judge(mutants[worker::workers]):
                        state.note(to_row(mutant, outcome))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        pids.append(pid)
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        sys.exit("a worker of the campaign has failed")


def report(mutants: list[Mutant], state: State, survivors: Path) -> int:
    """Print the figures and what is not reviewed; return how many that are."""
    reasons = reviewed(survivors)
    figures: Counter[str] = Counter()
    open_: list[str] = []
    for mutant in mutants:
        row = state.ended.get(mutant.key)
        if row is None:
            figures["not run"] += 1
            continue
        ended = row["ended"]
        if ended in ("survived", "unreached"):
            told = (kind for name, kind, _ in reasons if _names(name, mutant.key, ended))
            kind = next(told, None)
            figures[f"{ended}, {kind or 'not reviewed'}"] += 1
            if kind is None:
                open_.append(f"{ended}: {mutant.key}")
        else:
            figures[ended] += 1
    for name, number in sorted(figures.items()):
        print(f"{number:6} {name}")
    print(_share_killed(figures))
    for each in open_:
        print(each)
    return len(open_)


def _share_killed(figures: Counter[str]) -> str:
    """How many are killed of those that are reached, and that some run could tell from the stack as it is."""
    killed = figures["killed"]
    lives = sum(
        number
        for name, number in figures.items()
        if name.startswith("survived") and not name.endswith(EQUIVALENT)
    )
    of_all = killed + lives
    return f"{killed} of {of_all} are killed, {100 * killed / (of_all or 1):.1f} %"


def _drawn(seed: int, mutant: Mutant) -> str:
    return hashlib.sha256(f"{seed} {mutant.key}".encode()).hexdigest()


def main() -> int:
    """Run what is asked for; return 1 if a survivor has no reason."""
    parser = argparse.ArgumentParser(
        prog="campaign", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("run", "report", "list"))
    parser.add_argument("--share", type=int, default=SHARE)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--state", type=Path, default=Path("campaign.jsonl"))
    parser.add_argument("--survivors", type=Path, default=SURVIVORS)
    parser.add_argument(
        "--again", action="store_true", help="run those once more that were neither killed nor reviewed"
    )
    parser.add_argument(
        "--unlisted",
        action="store_true",
        help="leave out survivors that are listed, which may end as they like",
    )
    given = parser.parse_args()
    mutants = [mutant for mutant in population(given.share) if given.only in mutant.key]
    if given.count is not None:
        # Drawn by name: what changes elsewhere does not change who else is in the sample.
        mutants = sorted(mutants, key=lambda mutant: _drawn(given.seed, mutant))[: given.count]
    if given.what == "list":
        print("\n".join(mutant.key for mutant in mutants))
        return 0
    state = State(given.state)
    if given.what == "run":
        left = [each for each in mutants if each.key not in state.ended]
        if given.again:
            known = reviewed(given.survivors)
            left = [each for each in mutants if not is_settled(state.ended.get(each.key), known)]
        if given.unlisted:
            listed = {name for name, _, _ in reviewed(given.survivors)}
            left = [each for each in left if each.key not in listed]
        random.Random(given.seed).shuffle(left)
        run(left, state, given.workers)
        state = State(given.state)
    return 1 if report(mutants, state, given.survivors) else 0


if __name__ == "__main__":
    sys.exit(main())
