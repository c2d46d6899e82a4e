"""What a benchmark prints: a table for people, or with --json one line per figure for programs.

A figure compares ours with a peer's in the same run, as a ratio, because absolute values move with the machine. Its JSON keys:
name, unit, ours, peer, peerName, ratio (ours over peer), goal (such as ">= 0.95"), met (true, false, or null without a goal).
What does not move with the machine, such as bytes, has a goal for our own value: `goal_is_for_ours`, JSON key goalFor.
"""

import dataclasses
import json
import operator
import statistics

_COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


@dataclasses.dataclass
class Figure:
    """One comparison; `ours` and `peer` are the samples of all rounds, their medians are what counts."""

    name: str
    unit: str
    ours: list
    peer: list
    peer_name: str
    goal: str = ""
    goal_is_for_ours: bool = False

    @property
    def ratio(self):
        return statistics.median(self.ours) / statistics.median(self.peer)

    @property
    def met(self):
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        value = statistics.median(self.ours) if self.goal_is_for_ours else self.ratio
        return _COMPARE[sign](value, float(limit))

    def document(self):
        return {
            "name": self.name, "unit": self.unit, "ours": statistics.median(self.ours), "peer": statistics.median(self.peer),
            "peerName": self.peer_name, "ratio": round(self.ratio, 4), "goal": self.goal,
            "goalFor": "ours" if self.goal_is_for_ours else "ratio", "met": self.met,
        }


def _spread(samples):
    digits = 1 if statistics.median(samples) >= 20 else 3
    return f"{statistics.median(samples):.{digits}f} ({min(samples):.{digits}f}-{max(samples):.{digits}f})"


def show(figures, as_json):
    """Prints the figures and returns whether every goal was met."""
    if as_json:
        for figure in figures:
            print(json.dumps(figure.document()), flush=True)
    else:
        rows = [("figure", "sluice", "peer", "", "ratio", "goal", "")]
        for figure in figures:
            verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
            rows.append((
                f"{figure.name}, {figure.unit}", _spread(figure.ours), _spread(figure.peer), figure.peer_name,
                f"{figure.ratio:.2f}", f"sluice {figure.goal}" if figure.goal_is_for_ours else figure.goal, verdict))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            print("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip())
        print("median (smallest-largest) of the rounds; ratio is sluice over peer")
    return all(figure.met is not False for figure in figures)
