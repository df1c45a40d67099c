"""Bits per byte on a text that squeeze.py never sees and has to give back unchanged."""

from autoresearch_kit.scorer import Crash, ask, main


def score(data, split):
    text = (data / f"{split}.txt").read_bytes()
    packed = ask(["python", "squeeze.py", "pack"], input=text)
    if ask(["python", "squeeze.py", "unpack"], input=packed) != text:
        raise Crash("what was unpacked is another text")
    return 8 * len(packed) / len(text)


main(score)
