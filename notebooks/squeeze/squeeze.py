"""Pack stdin to stdout, or unpack it: what was seen predicts each bit, a coder stores surprises."""

import sys

ORDER = 1  # bytes before a bit that predict it; search: 1 to 6
LIMIT = 1000  # bits of experience, beyond which old ones are forgotten; search: 2 to 1000 log
TRUST = 0.5  # how much more longer contexts count; search: 0 to 4


class Coder:
    """Codes bits one by one, each by the share of an interval that its prediction deserves."""

    def __init__(self):
        self.known, self.past, self.byte = {}, b"", 1
        self.low, self.high = 0, 2**32 - 1

    def split(self):
        """Return where the interval is parted: below it the next bit is 1."""
        self.keys = [(self.past[len(self.past) - n :], self.byte) for n in range(ORDER + 1)]
        self.found = [self.known.get(key, (0.5, 0)) for key in self.keys]
        weights = [(n + 1) ** TRUST * (seen + 0.01) for n, (_, seen) in enumerate(self.found)]
        chance = sum(w * p for w, (p, _) in zip(weights, self.found, strict=True)) / sum(weights)
        share = min(4095, max(1, round(4096 * chance)))
        return self.low + (self.high - self.low) * share // 4096

    def learn(self, bit, middle):
        """Go on after a bit; return the bytes that are settled now."""
        for key, (chance, seen) in zip(self.keys, self.found, strict=True):
            self.known[key] = chance + (bit - chance) / (seen + 1.5), min(seen + 1, LIMIT)
        self.byte = 2 * self.byte + bit
        if self.byte > 255:
            self.past, self.byte = (self.past + bytes([self.byte - 256]))[-ORDER:], 1
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        settled = bytearray()
        while self.low >> 24 == self.high >> 24:
            settled.append(self.high >> 24)
            self.low, self.high = self.low << 8 & 2**32 - 1, self.high << 8 & 2**32 - 1 | 255
        return settled


def pack(text):
    coder, packed = Coder(), bytearray(len(text).to_bytes(4, "big"))
    for byte in text:
        for place in range(7, -1, -1):
            packed += coder.learn(byte >> place & 1, coder.split())
    return packed + coder.high.to_bytes(4, "big")


def unpack(packed):
    coder, text, at = Coder(), bytearray(), 8
    window = int.from_bytes(packed[4:8], "big")
    for _ in range(8 * int.from_bytes(packed[:4], "big")):
        middle = coder.split()
        for _ in coder.learn(int(window <= middle), middle):
            window, at = (window << 8 | (*packed[at : at + 1], 0)[0]) & 2**32 - 1, at + 1
        if coder.byte == 1:
            text += coder.past[-1:]
    return text


if __name__ == "__main__":
    work = {"pack": pack, "unpack": unpack}[sys.argv[1]]
    sys.stdout.buffer.write(work(sys.stdin.buffer.read()))
