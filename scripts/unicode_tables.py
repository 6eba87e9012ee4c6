#!/usr/bin/env python3
"""Makes src/text/unicode_data.cpp from the tables that the reference's tokenizers library is compiled from, so that text
is cut where the reference cuts it: Unicode's GraphemeBreakProperty, emoji-data and DerivedCoreProperties as the crate
unicode-segmentation has them, and the word characters of the crate regex-syntax.

usage: python3 scripts/unicode_tables.py unicode-segmentation/src/tables.rs regex-syntax/src/unicode_tables/perl_word.rs
"""

import re
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "src/text/unicode_data.cpp"
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)  # the class of a precomposed syllable is arithmetic, see unicode.cpp
CLASSES = {  # the crate's name: the name here, and in the enumeration
    "GC_Control": ("CN", "control"),
    "GC_CR": ("CR", "carriage_return"),
    "GC_LF": ("LF", "line_feed"),
    "GC_Extend": ("EX", "extend"),
    "GC_ZWJ": ("ZJ", "zero_width_joiner"),
    "GC_Extended_Pictographic": ("EP", "extended_pictographic"),
    "GC_InCB_Consonant": ("IC", "conjunct_consonant"),
    "GC_Prepend": ("PP", "prepend"),
    "GC_Regional_Indicator": ("RI", "regional_indicator"),
    "GC_SpacingMark": ("SM", "spacing_mark"),
    "GC_L": ("HL", "hangul_l"),
    "GC_V": ("HV", "hangul_v"),
    "GC_T": ("HT", "hangul_t"),
}


def grapheme_ranges(source):
    table = source[source.index("const grapheme_cat_table"):]
    table = table[:table.index("];")]
    ranges = []
    for first, last, name in re.findall(r"\('\\u\{(\w+)\}',\s*'\\u\{(\w+)\}',\s*(GC_\w+)\)", table):
        first, last = int(first, 16), int(last, 16)
        if name in ("GC_LV", "GC_LVT"):
            assert first in HANGUL_SYLLABLES and last in HANGUL_SYLLABLES
            continue
        name = CLASSES[name][0]
        if ranges and ranges[-1][1:] == (first - 1, name):
            first = ranges.pop()[0]
        ranges.append((first, last, name))
    return ranges


def word_ranges(source):
    def code_point(literal):
        return int(literal[3:-1], 16) if literal.startswith("\\u") else ord(literal)

    pairs = re.findall(r"\('(\\u\{\w+\}|.)', '(\\u\{\w+\}|.)'\)", source)
    return [(code_point(first), code_point(last)) for first, last in pairs]


def conjunct_linkers(source):
    body = source[source.index("fn is_incb_linker"):]
    return [int(c, 16) for c in re.findall(r"\\u\{(\w+)\}", body[:body.index("}\n")])]


def lines(items):
    rows, row = [], "   "
    for item in items:
        if len(row) + 1 + len(item) > 118:
            rows.append(row)
            row = "   "
        row += " " + item
    return "\n".join(rows + [row])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    segmentation, words = (Path(name).read_text() for name in sys.argv[1:])
    grapheme_version = ".".join(re.search(r"UNICODE_VERSION: .* = \((\d+), (\d+), (\d+)\)", segmentation).groups())
    word_version = re.search(r"Unicode version: ([\d.]+)\.", words).group(1)
    aliases = "\n".join(f"constexpr auto {short} = GraphemeClass::{name};" for short, name in CLASSES.values())
    OUTPUT.write_text(f"""#include "text/unicode_data.h"

// Made by scripts/unicode_tables.py: do not edit. Graphemes are of Unicode {grapheme_version}, word characters of Unicode
// {word_version}, the versions that the reference's libraries hold. Derived from the Unicode Character Database, copyright
// Unicode, Inc., under the Unicode License v3 (https://www.unicode.org/license.txt).

namespace prax::text {{

namespace {{

{aliases}

// clang-format off
constexpr GraphemeRange grapheme_table[] = {{
{lines("{0x%X, 0x%X, %s}," % r for r in grapheme_ranges(segmentation))}
}};

constexpr char32_t linker_table[] = {{
{lines("0x%X," % c for c in conjunct_linkers(segmentation))}
}};

constexpr CodePointRange word_table[] = {{
{lines("{0x%X, 0x%X}," % r for r in word_ranges(words))}
}};
// clang-format on

}}  // namespace

std::span<const GraphemeRange> grapheme_ranges() {{ return grapheme_table; }}

std::span<const char32_t> conjunct_linkers() {{ return linker_table; }}

std::span<const CodePointRange> word_ranges() {{ return word_table; }}

}}  // namespace prax::text
""")


if __name__ == "__main__":
    main()
