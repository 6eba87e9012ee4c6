#!/usr/bin/env python3
"""Makes tests/data/tokenizer/clip.json: texts with the ids that transformers' CLIPTokenizer (4.39, slow, with ftfy)
gives them with the tokenizers of tests/data/cases/pyramid_flow.

    python3 scripts/clip_tokenizer_cases.py
"""
import json
import os

from transformers import CLIPTokenizer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data")
TEXTS = [
    "",
    " ",
    "A red fox runs across a snowy field at dawn, cinematic style",
    "it's we'll I'd they've you're I'm don't IT'S 'tis rock'n'roll '''s s's",
    "3 dogs, 42 cats & 1,000,000 birds; room no. 7b at 10:30pm (4K/60fps)",
    "\u201cHere\u2019s a test\u201d \u2018said\u2019 she\u2026 \u2013 and left \u2014",
    "  tabs\tand\nnew lines\r\nand  non\u00a0breaking\u3000spaces \u2003 here \u2028 or \u2029 there ",
    "na\u00efve caf\u00e9 \u00c5lesund \u0130stanbul STRASSE stra\u00dfe \u1e9e",
    "cafe\u0301 A\u030angstro\u0308m e\u0323\u0302 \u1100\u1161\u11a8 \u212b \u2126",
    "\uff2c\uff2f\uff35\uff24\u3000\uff2e\uff2f\uff29\uff33\uff25\uff33 \uff76\uff9e\uff77 \uffe3",
    "\ufb01sh \ufb02uffy \ufb03 \u0133 \u01c6 \u0149t",
    "\u039f\u0394\u039f\u03a3 \u03a3\u039f\u03a6\u039f\u03a3. \u0391\u03a3' \u03a3",
    "\u0432\u043e\u043b\u043d\u044b \u041c\u041e\u0420\u0415 \u6d77\u8fb9\u7684\u65e5\u843d \u6771\u4eac \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u0645\u0631\u062d\u0628\u0627",
    "\U0001f98a fox \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "fish &amp; chips &lt;b&gt; &#233;t&#xE9; &quot;x&quot; &nope; &#0;",
    "<b> &amp; stays",
    "line one &amp;\nline <two> &amp;\nline three &amp;",
    "\x1b[36;44mblue\x1b[0m \x07bell \x00null \ufeffbom \x85next \x93quoted\x94",
    "<|startoftext|> inside <|endoftext|>and <|ENDOFTEXT|> capitals<|StartOfText|>",
    "wow! fireworks!! and !mportant",
    "half\u00bd \u2167 \u0663\u0664 x\u00b2 \u2460 1\u00bd",
    "a_b-c.d/e\\f|g~h`i^j*k+l=m{n}o[p]q<r>s@t#u$v%w",
    "word " * 100,
    "\u02bc\u201a\u201b\u201e \u00ab\u00bb \u2032 \u2033",
    "\u1fb3\u0345 \u03b1\u0345\u0301 \u0f73 \u0958 \ufb1d",
]


def main():
    cases = []
    for folder in ("checkpoint_flux/tokenizer", "checkpoint_mmdit/tokenizer_2"):
        tokenizer = CLIPTokenizer.from_pretrained(os.path.join(ROOT, "cases", "pyramid_flow", folder))
        assert tokenizer.fix_text is not None, "ftfy is missing"
        for text in TEXTS:
            cases.append(dict(tokenizer=folder, text=text, ids=tokenizer(text).input_ids,
                              padded=tokenizer(text, padding="max_length", max_length=12, truncation=True).input_ids))
    with open(os.path.join(ROOT, "tokenizer", "clip.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()
