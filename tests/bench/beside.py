"""This tree beside another commit of it: the same measures in the same run, one after the other."""

import os
import statistics
import sys

from contenders import MEASURES
from servers import BUILD, ROOT, run
from support.postgres import prototype


def build_commit(commit):
    """A release build of that commit, in a worktree of its own below build/."""
    number = run("git", "-C", ROOT, "rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    tree = ROOT / "build" / "beside"
    if not (tree / ".git").exists():
        run("git", "-C", ROOT, "worktree", "prune")
        run("git", "-C", ROOT, "worktree", "add", "--detach", tree, number)
    run("git", "-C", tree, "checkout", "--detach", number)
    if not (tree / "build" / "build.ninja").exists():
        run("meson", "setup", tree / "build", tree, "-Dbuildtype=release")
    run("ninja", "-C", tree / "build", "--quiet")
    return tree / "build"


def measure_beside(commit, names, rounds, make_world):
    """Figures of every round by measure, [those of the commit, ours]. Servers and stores are new in each
    round: where they happen to lie in memory and on the disk makes them differ from themselves."""
    builds = [build_commit(commit), BUILD]
    prototype()  # not in a world's folder, which goes with its round
    figures = {name: ([], []) for name in names}
    for number in range(rounds):
        worlds = [make_world(), make_world()]
        try:
            for name in names:
                for which in (0, 1) if number % 2 == 0 else (1, 0):
                    os.environ["TRIGGERS_BUILD"] = str(builds[which])
                    figures[name][which].append(MEASURES[name](worlds[which]))
                theirs, ours = figures[name][0][-1], figures[name][1][-1]
                print(f"  round {number + 1}: {name}: {theirs:.0f}, {ours:.0f}", file=sys.stderr)
        finally:
            for world in worlds:
                world.close()
    return figures


def print_beside(commit, figures):
    print(f"| measured | {commit} | now | ratio | of the rounds |")
    print("|---|---|---|---|---|")
    for name, (theirs, ours) in figures.items():
        before, now = statistics.median(theirs), statistics.median(ours)
        ratios = [our / their for our, their in zip(ours, theirs)]
        print(
            f"| {name} | {before:.0f} | {now:.0f} | {now / before:.2f} |"
            f" {min(ratios):.2f}–{max(ratios):.2f} |"
        )
