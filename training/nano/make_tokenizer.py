"""sentencepiece unigram on captions -> tok/spiece.model (pad 0, eos 1, unk 2 as in T5) and the HF files"""

import sys, os, shutil, sentencepiece as spm
from world import make_spec, caption

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
txt = "work/captions.txt"
with open(txt, "w") as f:
    for i in range(20000):
        s = make_spec(i)
        for v in range(2):
            f.write(caption(s, v) + "\n")
spm.SentencePieceTrainer.train(
    input=txt,
    model_prefix=out + "/spiece",
    vocab_size=512,
    hard_vocab_limit=False,
    model_type="unigram",
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    pad_piece="<pad>",
    eos_piece="</s>",
    unk_piece="<unk>",
    character_coverage=1.0,
    normalization_rule_name="nmt_nfkc_cf",
    required_chars="abcdefghijklmnopqrstuvwxyz.,'-!?0123456789",
    num_threads=1,
    minloglevel=2,
)
os.remove(out + "/spiece.vocab")
# captions hold few distinct words, so the trainer keeps only fragments: add every whole word as a piece, by frequency
import math, collections
from sentencepiece import sentencepiece_model_pb2 as pb

m = pb.ModelProto()
m.ParseFromString(open(out + "/spiece.model", "rb").read())
sp = spm.SentencePieceProcessor(model_file=out + "/spiece.model")
cnt = collections.Counter(
    w
    for l in open(txt)
    for w in sp.normalize(l.strip()).replace(",", " ").replace(".", " ").replace("\u2581", " ").split()
)
tot = sum(cnt.values())
have = {p.piece for p in m.pieces}
for p in m.pieces:
    if p.type == 1:
        p.score -= 4.0
for w, n in cnt.most_common():
    w = "\u2581" + w
    sc = math.log(n / tot)
    if w in have:
        for p in m.pieces:
            if p.piece == w:
                p.score = sc
    else:
        p = m.pieces.add()
        p.piece = w
        p.score = sc
        p.type = 1
m.trainer_spec.vocab_size = len(m.pieces)
open(out + "/spiece.model", "wb").write(m.SerializeToString())
from transformers import T5Tokenizer

T5Tokenizer.from_pretrained(out, extra_ids=0, model_max_length=48).save_pretrained(out)
