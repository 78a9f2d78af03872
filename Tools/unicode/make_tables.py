#!/usr/bin/env python3
"""Writes the decomposition tables of SwiftletTokenizer from the Unicode character database.

    Tools/unicode/make_tables.py /usr/share/unicode

The folder holds UnicodeData.txt, DerivedAge.txt and CompositionExclusions.txt of any version from 9.0 on (Debian:
package unicode-data). Only scalars of Unicode 9.0 and earlier are taken: that is the version of the tables that the
reference implementation normalizes by, and a decomposition once published never changes.
"""

import pathlib
import sys
import textwrap

VERSION = (9, 0)
SOURCES = pathlib.Path(__file__).resolve().parents[2] / "Sources" / "SwiftletTokenizer"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

CANONICAL = '''\
// Canonical decompositions of the Unicode character database (version 9.0), Hangul syllables left out.
// Data only: written by Tools/unicode/make_tables.py, packed as text.
// Owned by CanonicalForm. Entries are "step,first[,second]" in base 36: the scalar lies `step` behind the one before
// it and decomposes into `first` and `second`; "!" marks a pair that is never put together again.
// Invariant: checked in the tests against the standard library's canonical equivalence for every scalar.

enum CanonicalData {
    static let entries: StaticString = """
'''
COMPATIBILITY = '''\
// Compatibility decompositions of the Unicode character database (version 9.0): ligatures, full-width forms, …
// Data only: written by Tools/unicode/make_tables.py, packed as text.
// Owned by CompatibilityMappings. Entries are "step[*count],first[,second…]" in base 36: the scalar lies `step` behind
// the one before it and becomes the scalars listed; with a count, so many scalars in a row become `first` and those
// behind it.
// Invariant: what a scalar becomes may itself have a mapping, never one that leads back.

enum CompatibilityData {
    static let entries: StaticString = """
'''


def base36(value):
    text = ""
    while True:
        value, digit = divmod(value, 36)
        text = DIGITS[digit] + text
        if value == 0:
            return text


def ranges(path):
    """(first, last, value) of each line of a property file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line:
            scalars, _, value = (part.strip() for part in line.partition(";"))
            first, _, last = scalars.partition("..")
            yield int(first, 16), int(last or first, 16), value


def read(folder):
    """The decompositions of the version: canonical and compatibility ones, by scalar, and what is excluded."""
    known = set()
    for first, last, value in ranges(folder / "DerivedAge.txt"):
        if tuple(map(int, value.split("."))) <= VERSION:
            known.update(range(first, last + 1))
    excluded = {first for first, _, _ in ranges(folder / "CompositionExclusions.txt")}
    canonical, compatibility, classes = {}, {}, {}
    for line in (folder / "UnicodeData.txt").read_text(encoding="ascii").splitlines():
        fields = line.split(";")
        scalar = int(fields[0], 16)
        classes[scalar] = int(fields[3])
        if scalar not in known or not fields[5]:
            continue
        if fields[5].startswith("<"):
            compatibility[scalar] = [int(part, 16) for part in fields[5].split()[1:]]
        else:
            canonical[scalar] = [int(part, 16) for part in fields[5].split()]
    for scalar, parts in canonical.items():
        # Decompositions that begin with a mark, or are of a mark, are not composed either.
        if len(parts) == 2 and (classes[scalar] != 0 or classes.get(parts[0], 0) != 0):
            excluded.add(scalar)
    return canonical, compatibility, excluded


def canonical_entries(canonical, excluded):
    last = 0
    for scalar, parts in sorted(canonical.items()):
        mark = "!" if len(parts) == 2 and scalar in excluded else ""
        yield ",".join(map(base36, [scalar - last, *parts])) + mark
        last = scalar


def compatibility_entries(compatibility):
    last = 0
    scalars = sorted(compatibility)
    index = 0
    while index < len(scalars):
        scalar = scalars[index]
        parts = compatibility[scalar]
        count = 1
        while len(parts) == 1 and compatibility.get(scalar + count) == [parts[0] + count]:
            count += 1
        step = base36(scalar - last) + ("*" + base36(count) if count > 1 else "")
        yield ",".join([step, *map(base36, parts)])
        last = scalar + count - 1
        index += count


def write(name, header, entries):
    lines = textwrap.wrap(" ".join(entries), 112, break_long_words=False, break_on_hyphens=False)
    body = "".join(f"        {line}\n" for line in lines)
    (SOURCES / name).write_text(header + body + '        """\n}\n', encoding="utf-8")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    canonical, compatibility, excluded = read(pathlib.Path(sys.argv[1]))
    write("CanonicalData.swift", CANONICAL, canonical_entries(canonical, excluded))
    write("CompatibilityData.swift", COMPATIBILITY, compatibility_entries(compatibility))
    print(f"{len(canonical)} canonical and {len(compatibility)} compatibility decompositions")


if __name__ == "__main__":
    main()
