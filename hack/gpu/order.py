"""Which samples a step reads, and its learning rate: worker/data/order.h, worker/data/dataset.h and
worker/train/schedule.h again, so that PyTorch trains on the very same tokens. Python 3.9, standard library only."""

import math

MASK = (1 << 64) - 1
PURPOSE = 0x6f72646572  # "order"
ROUNDS = 8


def mix64(x):
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & MASK
    return x ^ (x >> 31)


def philox(key, high, low):
    """Philox4x32-10 of one counter."""
    word = (1 << 32) - 1
    k0, k1 = key & word, key >> 32
    c0, c1, c2, c3 = low & word, low >> 32, high & word, high >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & word, (p0 >> 32) ^ c3 ^ k1, p0 & word
        k0, k1 = (k0 + 0x9E3779B9) & word, (k1 + 0xBB67AE85) & word
    return c0, c1, c2, c3


def permute(seed, data_epoch, index, count):
    half = 1
    while half < 32 and (1 << (2 * half)) < count:
        half += 1
    words = philox(seed, PURPOSE, data_epoch)
    key, mask = words[0] << 32 | words[1], (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for i in range(ROUNDS):
            mixed = mix64(mix64((key + i) & MASK) ^ right)
            left, right = right, left ^ ((mixed >> 32) & mask)
        index = left << half | right
        if index < count:
            return index


class Windows:
    """Training windows and held-out rows of `context` + 1 tokens."""

    def __init__(self, tokens, context, seed, slots, batch):
        self.tokens, self.window, self.seed, self.slots, self.batch = tokens, context + 1, seed, slots, batch
        self.training = len(tokens) - len(tokens) // 10
        self.samples = self.training - self.window + 1

    def starts(self, step, slot):
        """Where the rows of one slot of a step begin; steps are numbered from 1."""
        first = ((step - 1) * self.slots + slot) * self.batch
        return [permute(self.seed, n // self.samples, n % self.samples, self.samples)
                for n in range(first, first + self.batch)]

    def held_out_starts(self):
        return list(range(self.training, len(self.tokens) - self.window + 1, self.window - 1))


def learning_rate(step, steps, peak, warmup):
    step = max(step, 1)
    if step <= warmup:
        return peak * step / warmup
    share = (min(step, steps) - warmup) / max(steps - warmup, 1)
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))
