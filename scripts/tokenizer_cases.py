#!/usr/bin/env python3
"""Makes tests/data/tokenizer/*.json: what the reference's T5 tokenizer makes of texts that are easy to get wrong.

usage: python3 scripts/tokenizer_cases.py
needs: pip install transformers==5.23.0 tokenizers==0.23.3 sentencepiece
"""

import copy
import json
import shutil
import tempfile
from pathlib import Path

import tokenizers
import transformers

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["tests/data/cases/tokenizer_t5/tokenizer", "models/nano/tokenizer"]
MAX_LENGTH = 12

TEXTS = [
    # white space: which characters cut words, and that runs, beginnings and ends of it leave nothing
    "", " ", "\n", "\u3000", "sea", " sea", "sea ", "  a  red\tsea \n", "a\r\nsea", "a\rsea", "a\x0bsea\x0cred",
    "a\x85sea", "a\xa0sea", "a\u1680sea", "a\u2003sea", "a\u2028sea\u2029red", "a\u202fsea\u205fred", "a\x1csea\x1fred",
    "a\u180esea", "a\x00sea", "a\x01sea\x7f",
    # zero width
    "a\u200bsea", "a\u200csea", "a\u200dsea", "\ufeffa sea", "a\u2060sea", "s\u00adea",
    # U+2581, with which pieces begin
    "\u2581", "\u2581\u2581", "\u2581sea", "sea\u2581red", "a \u2581red\u2581", "red\u2581 \u2581sea",
    # special tokens inside the text
    "</s>", "a </s> b", "a</s>b", "  </s>  ", "<pad>", "a<pad>b", "<unk>", "a <unk> b", "<extra_id_0>",
    "a <extra_id_1>  sea", "<extra_id_99><extra_id_100>", "<extra_id_10>", "<extra_id_1", "</S>", "< /s>",
    "\uff1c/s\uff1e", "</s></s>\u0301", "<s>",
    # compatibility forms, and marks after them
    "\ufb01ne", "\ufb01\u0301ne", "\ufb03", "\u2460", "\xbd", "\ufdfa", "\u212b \u2126 \u212a", "\uff21\uff22\uff23",
    "\uff76\uff9e\uff97\uff7d", "\u337f", "\u01c4\u01c6", "\u0149", "\u017f\ufb05", "\U0001d538\U0001d552", "\u2026",
    "\u2122", "x\xb2\u2075\u2082", "\xb4\xa8\u0345", "\uff5e\uff10", "\u201csea\u201d \u2013 \u2018red\u2019",
    # composition, in clusters of fewer than six bytes and of more
    "e\u0301", "E\u0301", "caf\xe9 cafe\u0301", "a\u0308\u0304", "\u0301sea", "\u304b\u3099", "\u304c",
    "\u1112\u1161\u11ab", "\ud55c", "\uac00\u11a8", "\u0e01\u0e33", "\u0915\u094d\u0937\u093f", "\u0915\u093c",
    "N\u20e3", "1\ufe0f\u20e3", "\u0600\uff11", "\u06dd\uff11", "\u0d4e\u0d15", "T\U000e01aa",
    # case
    "RED SEA", "\xdf \u1e9e", "\u0130 \u0131", "\u03a3\u03c3\u03c2", "\u01c5",
    # pictographs, flags, joiners
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea",
    "\U0001f1e9\U0001f1ea\U0001f1eb", "\u2764\ufe0f sea", "\U0001f3f3\ufe0f\u200d\U0001f308",
    # unknown characters: beside each other one, apart two
    "\u2603", "\u2603\u2603", "\u2603 \u2603", "\u2603sea\u2603", "\ufffd", "\uffff\U0010ffff", "\ue000",
    "\u2603\u2581\u2603", "\u6f22\u5b57", "\u043f\u0440\u0438\u0432\u0435\u0442", "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u0631\u062d\u0628\u0627",
    # length
    "a" * 300, "sea" * 40, "red sea " * 30,
    "A red sailboat drifts left across the sea at sunset, while gulls circle above the harbour; it's 7:45 pm.",
]


def token(content, **properties):
    plain = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    return {"__type": "AddedToken", "content": content} | plain | properties


def configurations():
    """Name, files beside spiece.model: what a folder may say, with few sentinels to keep it short."""
    pieces = 187
    named = {"0": token("<pad>"), "1": token("</s>"), "2": token("<unk>")}
    published = copy.deepcopy(named)
    for i in range(3):
        published[str(pieces + i)] = token(f"<extra_id_{2 - i}>", lstrip=True, rstrip=True)
    yield "as published with added_tokens_decoder", {
        "tokenizer_config.json": {
            "added_tokens_decoder": published, "additional_special_tokens": [f"<extra_id_{i}>" for i in range(3)],
            "clean_up_tokenization_spaces": True, "eos_token": "</s>", "extra_ids": 3, "legacy": True,
            "model_max_length": 512, "pad_token": "<pad>", "sp_model_kwargs": {}, "unk_token": "<unk>"},
        "special_tokens_map.json": {"eos_token": token("</s>", lstrip=True)},
        "added_tokens.json": {"<extra_id_2>": pieces, "<extra_id_1>": pieces + 1, "<extra_id_0>": pieces + 2}}
    yield "nothing but the model", {}
    yield "no limit", {"tokenizer_config.json": {"extra_ids": 2, "model_max_length": 10**30}}
    yield "special_tokens_map.json", {
        "tokenizer_config.json": {"extra_ids": 2, "model_max_length": 512},
        "special_tokens_map.json": {"eos_token": token("</s>", lstrip=True), "pad_token": token("<pad>", rstrip=True)}}
    yield "added_tokens.json", {
        "tokenizer_config.json": {"extra_ids": 0},
        "added_tokens.json": {
            "Sea Gull": pieces, "\ufb01n": pieces + 1, "<extra_id_5>": pieces + 2, "kite": pieces + 3}}
    words = {"187": token("red", single_word=True, normalized=True, special=False),
             "188": token("AE", special=False, rstrip=True),
             "189": token("\ufb01 x", normalized=True, special=False, lstrip=True)}
    yield "single words and normalised tokens", {
        "tokenizer_config.json": {"extra_ids": 0, "added_tokens_decoder": named | words}}
    yield "left", {"tokenizer_config.json": {"extra_ids": 2, "padding_side": "left", "truncation_side": "left"}}
    yield "special tokens are split", {"tokenizer_config.json": {"extra_ids": 2, "split_special_tokens": True}}
    yield "tokens with names of their own", {"tokenizer_config.json": {
        "extra_ids": 3, "image_token": "<image>", "bos_token": "<bos>",
        "extra_special_tokens": {"video_token": "<video>"}}}
    yield "extra_special_tokens", {"tokenizer_config.json": {
        "extra_ids": 4, "extra_special_tokens": ["<a>", token("<b>", lstrip=True), "<extra_id_0>"]}}
    yield "other end and padding", {"tokenizer_config.json": {
        "extra_ids": 2, "additional_special_tokens": ["<a>", "<c>"], "eos_token": "<extra_id_1>", "pad_token": "</s>"}}
    yield "new unknown and end token", {"tokenizer_config.json": {
        "extra_ids": 1, "unk_token": "<huh>", "eos_token": token("<end>")}}


CONFIGURED_TEXTS = [
    "a red sea", "redder red, unred red_ red", "Sea Gull sea gull", "\ufb01n fin \ufb01n\u0301 a fi x b \ufb01 x",
    "a AE  b", "kite KITE kites", "a </s> b  <pad>  c", "a <extra_id_0> b <extra_id_1>\n\n<extra_id_2>x",
    "<unk><huh><end><bos>",
    "<a> <b> <c>", "<image><video>", "it 's a sea , is n't it ?", "<extra_id_5> \u2603",
    "red sea at sunset while gulls circle",
]


def results(tokenizer, texts):
    rows = []
    for text in texts:
        whole = tokenizer(text)
        cut = tokenizer(text, padding="max_length", max_length=MAX_LENGTH, truncation=True)
        rows.append({"text": text, "ids": whole.input_ids, "padded": cut.input_ids, "mask": cut.attention_mask,
                     "decoded": tokenizer.decode(whole.input_ids)})
    return {"size": len(tokenizer), "unlimited": tokenizer.model_max_length >= 2**63,
            "model_max_length": min(tokenizer.model_max_length, 2**62), "eos": tokenizer.eos_token_id,
            "pad": tokenizer.pad_token_id, "unk": tokenizer.unk_token_id, "texts": rows}


def write(name, key, entries):
    """One text a line, so that a change can be read."""
    made_by = (f"scripts/tokenizer_cases.py with transformers {transformers.__version__}, "
               f"tokenizers {tokenizers.__version__}")
    blocks = []
    for entry in entries:
        rows = ",\n".join("    " + json.dumps(row) for row in entry.pop("texts"))
        blocks.append("  " + json.dumps(entry)[:-1] + ', "texts": [\n' + rows + "\n  ]}")
    head = '{"made_by": %s, "max_length": %d, "%s": [\n' % (json.dumps(made_by), MAX_LENGTH, key)
    text = head + ",\n".join(blocks) + "\n]}\n"
    json.loads(text)
    (ROOT / "tests/data/tokenizer" / name).write_text(text)


def main():
    load = transformers.T5Tokenizer.from_pretrained
    write("texts.json", "tokenizers", [{"folder": folder} | results(load(ROOT / folder), TEXTS) for folder in FOLDERS])

    entries = []
    for name, files in configurations():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(ROOT / FOLDERS[0] / "spiece.model", folder)
            for file, content in files.items():
                (Path(folder) / file).write_text(json.dumps(content))
            entries.append({"name": name, "files": files} | results(load(folder), CONFIGURED_TEXTS))
    write("configurations.json", "configurations", entries)


if __name__ == "__main__":
    main()
