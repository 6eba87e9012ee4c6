#!/usr/bin/env python3
"""Makes what the CLIP tokenizer needs of the Unicode Character Database beside src/text/unicode_data.cpp, from the
unicodedata of the Python that runs this (3.11 has Unicode 14.0).

    python3 scripts/normalization_tables.py normalization > src/text/normalization_data.cpp
    python3 scripts/normalization_tables.py letters > src/text/letter_data.cpp
"""
import sys
import unicodedata

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HEAD = """#include "text/normalization_data.h"

// Made by scripts/normalization_tables.py: do not edit. Of Unicode {version}. Derived from the Unicode Character Database,
// copyright Unicode, Inc., under the Unicode License v3 (https://www.unicode.org/license.txt).

namespace prax::text {{

namespace {{

// clang-format off"""


def table(kind, name, rows):
    lines, line = [], "   "
    for row in rows:
        values = ", ".join(x if isinstance(x, str) else f"0x{x:X}" for x in row)
        cell = f" {values}," if len(row) == 1 else f" {{{values}}},"
        if len(line) + len(cell) > 120:
            lines.append(line)
            line = "   "
        line += cell
    print(f"constexpr {kind} {name}[] = {{\n" + "\n".join(lines + [line]) + "\n};\n")


def ranges(belongs):
    rows = []
    for c in CODE_POINTS:
        if not belongs(c):
            continue
        if rows and rows[-1][1] == c - 1:
            rows[-1][1] = c
        else:
            rows.append([c, c])
    return rows


def decompositions():
    for c in CODE_POINTS:
        text = unicodedata.decomposition(chr(c))
        if not text or text.startswith("<"):
            continue
        parts = [int(x, 16) for x in text.split()]
        yield [c, parts[0], parts[1] if len(parts) == 2 else 0]


def excluded():
    for c, first, second in decompositions():
        if second and unicodedata.normalize("NFC", chr(first) + chr(second)) != chr(c):
            yield [c]


def combining_classes():
    rows = []
    for c in CODE_POINTS:
        value = unicodedata.combining(chr(c))
        if value == 0:
            continue
        if rows and rows[-1][1] == c - 1 and rows[-1][2] == value:
            rows[-1][1] = c
        else:
            rows.append([c, c, value])
    return rows


def lower_cases():
    """Runs of characters, one or two apart, that are a constant away from their lower case. U+0130 has two."""
    rows = []
    for c in CODE_POINTS:
        lower = chr(c).lower()
        if len(lower) != 1 or lower == chr(c):
            continue
        distance = ord(lower) - c
        if rows and rows[-1][3] == distance and c - rows[-1][1] in (1, 2):
            step = c - rows[-1][1]
            if rows[-1][0] == rows[-1][1] or rows[-1][2] == step:
                rows[-1][1], rows[-1][2] = c, step
                continue
        rows.append([c, c, 1, distance])
    return [[a, b, str(step), str(distance)] for a, b, step, distance in rows]


def widths():
    for c in range(0xFF01, 0xFFF0):
        other = unicodedata.normalize("NFKC", chr(c))
        if other != chr(c) and len(other) == 1:  # U+FFE3 alone becomes two
            yield [c, ord(other)]


def main():
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in ("normalization", "letters"):
        sys.exit(__doc__)
    print(HEAD.format(version=unicodedata.unidata_version))
    names = []

    def put(element, name, rows):
        table(element, f"{name}_table", rows)
        names.append((element, name))

    if kind == "normalization":
        put("Decomposition", "decompositions", decompositions())
        put("char32_t", "composition_exclusions", excluded())
        put("CombiningRange", "combining_ranges", combining_classes())
        put("Exchange", "width_exchanges", widths())
    else:
        put("LowerRange", "lower_ranges", lower_cases())
        put("CodePointRange", "letter_ranges", ranges(lambda c: unicodedata.category(chr(c))[0] == "L"))
        put("CodePointRange", "number_ranges", ranges(lambda c: unicodedata.category(chr(c))[0] == "N"))
    print("// clang-format on\n\n}  // namespace\n")
    for element, name in names:
        print(f"std::span<const {element}> {name}() {{ return {name}_table; }}")
    print("\n}  // namespace prax::text")


main()
