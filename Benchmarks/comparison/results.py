"""The results file: one cell for each engine, job and round, written after each, read again by the next run.

Invariant: the file on disk is always complete JSON, and a cell in it is never measured again unless the engine's
build differs from the one that made it.
"""

import json
import os
import time


class Results:
    def __init__(self, path, fresh=False):
        self.path = path
        self.machine, self.notes, self.cells = {}, {}, []
        if not fresh and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                stored = json.load(file)
            self.machine, self.notes, self.cells = stored["machine"], stored["notes"], stored["cells"]

    def save(self):
        folder = os.path.dirname(os.path.abspath(self.path))
        os.makedirs(folder, exist_ok=True)
        partial = self.path + ".partial"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump({"machine": self.machine, "notes": self.notes, "cells": self.cells}, file, indent=1)
            file.write("\n")
        os.replace(partial, self.path)

    def find(self, engine, job, turn, build):
        for cell in self.cells:
            if (cell["engine"], cell["job"], cell["round"]) == (engine, job, turn):
                return cell if cell["build"] == build else None
        return None

    def add(self, engine, job, turn, build, **members):
        """Replaces what an earlier build left in the same place."""
        cell = {"engine": engine, "job": job, "round": turn, "build": build, "time": round(time.time(), 1), **members}
        place = (engine, job, turn)
        self.cells = [other for other in self.cells if (other["engine"], other["job"], other["round"]) != place]
        self.cells.append(cell)
        self.save()
        return cell

    def of(self, engine, job):
        """Cells of one engine and job, of the newest build only."""
        cells = [cell for cell in self.cells if cell["engine"] == engine and cell["job"] == job]
        newest = max((cell["time"], cell["build"]) for cell in cells)[1] if cells else None
        return [cell for cell in cells if cell["build"] == newest]

    @property
    def engines(self):
        """In the order of first appearance."""
        return list(dict.fromkeys(cell["engine"] for cell in self.cells))


def median(values):
    values = sorted(values)
    if not values:
        return None
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def mean_probe(cell):
    """What the machine could do around a cell: the mean of the probe before and the one after it."""
    probes = cell["probes"]
    return {name: sum(probe[name] for probe in probes) / len(probes) for name in probes[0]}
