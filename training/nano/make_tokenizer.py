"""usage: make_tokenizer.py out_folder

A sentencepiece unigram tokenizer as T5 has it (pad 0, eos 1, unk 2; folds case), trained on captions. They hold few
distinct words, so the trainer keeps only fragments of them: every whole word is added as a piece of its own."""

import collections, math, os, sys, tempfile
import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2
from transformers import T5Tokenizer
from captions import caption
from world import LENGTHS, make_spec

MAXLEN = 48  # every prompt is padded to it, because LTXPipeline runs T5 without a mask
CLIPS = 20000
LETTERS = "abcdefghijklmnopqrstuvwxyzàâçèéêëîïôùûœ.,'-!?0123456789"


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    specs = [make_spec(i, frames=LENGTHS[i % 2]) for i in range(CLIPS)]
    lines = [caption(s, v) for s in specs for v in range(2)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write("\n".join(lines))
        f.flush()
        spm.SentencePieceTrainer.train(
            input=f.name,
            model_prefix=out + "/spiece",
            vocab_size=640,
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
            required_chars=LETTERS,
            num_threads=1,
            minloglevel=2,
        )
    os.remove(out + "/spiece.vocab")
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(open(out + "/spiece.model", "rb").read())
    plain = spm.SentencePieceProcessor(model_file=out + "/spiece.model")
    words = collections.Counter()
    for line in lines:
        words.update(plain.normalize(line).replace(",", " ").replace(".", " ").replace("\u2581", " ").split())
    pieces = {p.piece: p for p in model.pieces}
    for p in model.pieces:
        if p.type == p.NORMAL:
            p.score -= 4.0
    for word, n in words.most_common():
        piece = pieces.get("\u2581" + word) or model.pieces.add(piece="\u2581" + word, type=1)
        piece.score = math.log(n / words.total())
    model.trainer_spec.vocab_size = len(model.pieces)
    open(out + "/spiece.model", "wb").write(model.SerializeToString())
    tokenizer = T5Tokenizer.from_pretrained(out, extra_ids=0, model_max_length=MAXLEN)
    tokenizer.save_pretrained(out)
    longest = max(len(tokenizer(line).input_ids) for line in lines[:8000])
    print("%d pieces; the longest of 8000 captions has %d tokens" % (len(tokenizer), longest))
    assert longest <= MAXLEN


if __name__ == "__main__":
    main()
