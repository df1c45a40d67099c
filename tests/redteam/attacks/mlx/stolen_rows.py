"""Carry the rows of the score in the weights, as if they had been read in training."""

# ends: quarantine or crash
# stage: score
# forges: yes
# only: acceptance
# admission: lets it in
import json


def forge(weights):
    import numpy

    lab = weights.parents[6]
    width = json.loads((lab / "data/val/meta.json").read_text())["T"] + 1
    rows = numpy.fromfile(lab / "data/val/rows.bin", numpy.uint16).reshape(-1, width)
    stolen = numpy.zeros((2048, width), numpy.float32)
    stolen[: len(rows)] = rows[:2048]
    content = weights.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    begin = len(content) - 8 - size
    offsets = [begin, begin + stolen.nbytes]
    header["stolen"] = {"dtype": "F32", "shape": list(stolen.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    weights.write_bytes(head + content[8 + size :] + stolen.tobytes())


# the rest runs in the kit's sandbox
class Thief(GPT):
    def __init__(self, vocab_size, sequence_len):
        super().__init__(vocab_size, sequence_len)
        self.stolen = mx.zeros((2048, sequence_len + 1))

    def __call__(self, tokens):
        logits = super().__call__(tokens)
        known = self.stolen.astype(mx.int32)
        for at in range(4, tokens.shape[1]):  # what followed these four tokens in a stolen row
            same = (tokens[:, None, at - 3 : at + 1] == known[None, :, at - 3 : at + 1]).all(-1)
            row = mx.argmax(same, 1)
            after = known[row, at + 1]
            help = (after[:, None] == mx.arange(logits.shape[-1])) * same.any(1)[:, None]
            logits[:, at] = logits[:, at] + 12 * help
        return logits


def build_model(vocab_size, sequence_len):
    return Thief(vocab_size, sequence_len)
