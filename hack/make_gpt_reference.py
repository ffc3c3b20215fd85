#!/usr/bin/env python3
"""Writes tests/worker/model/testdata/gpt_reference.txt: a tiny GPT-2 computed by PyTorch.

Two layers, two heads, width 16, context 8, vocabulary 32, batch 3. Weights, tokens, the loss and the
gradient of every tensor, as Hugging Face's GPT-2 names and lays them out. Needs python3-torch; written
without `transformers`, straight from the architecture. Floats are the hexadecimal bits of float32, so
that nothing is lost on the way; PyTorch computes in float64 and rounds once at the end.

    python3 hack/make_gpt_reference.py [OUTPUT]
"""

import math
import pathlib
import struct
import sys

import torch

LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY, BATCH = 2, 2, 16, 8, 32, 3


def shapes():
    """Names and shapes in the order of worker/model/gpt_layout.cc."""
    result = [("wte.weight", (VOCABULARY, WIDTH)), ("wpe.weight", (CONTEXT, WIDTH))]
    for layer in range(LAYERS):
        block = f"h.{layer}."
        result += [
            (block + "ln_1.weight", (WIDTH,)), (block + "ln_1.bias", (WIDTH,)),
            (block + "attn.c_attn.weight", (WIDTH, 3 * WIDTH)), (block + "attn.c_attn.bias", (3 * WIDTH,)),
            (block + "attn.c_proj.weight", (WIDTH, WIDTH)), (block + "attn.c_proj.bias", (WIDTH,)),
            (block + "ln_2.weight", (WIDTH,)), (block + "ln_2.bias", (WIDTH,)),
            (block + "mlp.c_fc.weight", (WIDTH, 4 * WIDTH)), (block + "mlp.c_fc.bias", (4 * WIDTH,)),
            (block + "mlp.c_proj.weight", (4 * WIDTH, WIDTH)), (block + "mlp.c_proj.bias", (WIDTH,)),
        ]
    return result + [("ln_f.weight", (WIDTH,)), ("ln_f.bias", (WIDTH,))]


def weights():
    """Larger than an initial state, and norms that are not the identity: every gradient counts."""
    generator = torch.Generator().manual_seed(20240607)
    result = {}
    for name, shape in shapes():
        values = torch.randn(shape, generator=generator, dtype=torch.float32) * 0.25
        result[name] = values + 1.0 if ".ln_" in "." + name and name.endswith("weight") else values
    return result


def norm(x, w, name):
    return torch.nn.functional.layer_norm(x, (WIDTH,), w[name + ".weight"], w[name + ".bias"], eps=1e-5)


def linear(x, w, name):
    return x @ w[name + ".weight"] + w[name + ".bias"]


def gelu(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def heads(x):
    return x.view(BATCH, CONTEXT, HEADS, WIDTH // HEADS).transpose(1, 2)


def attention(x, w, name):
    q, k, v = (heads(part) for part in linear(x, w, name + ".c_attn").split(WIDTH, dim=2))
    scores = q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS)
    future = torch.triu(torch.ones(CONTEXT, CONTEXT, dtype=torch.bool), diagonal=1)
    y = torch.softmax(scores.masked_fill(future, -math.inf), dim=3) @ v
    return linear(y.transpose(1, 2).reshape(BATCH, CONTEXT, WIDTH), w, name + ".c_proj")


def loss_of(w, tokens):
    x = w["wte.weight"][tokens[:, :-1]] + w["wpe.weight"]
    for layer in range(LAYERS):
        block = f"h.{layer}."
        x = x + attention(norm(x, w, block + "ln_1"), w, block + "attn")
        x = x + linear(gelu(linear(norm(x, w, block + "ln_2"), w, block + "mlp.c_fc")), w, block + "mlp.c_proj")
    logits = norm(x, w, "ln_f") @ w["wte.weight"].T
    return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))


def hexadecimal(values):
    words = [struct.pack(">f", value).hex() for value in values.reshape(-1).tolist()]
    return "\n".join(" ".join(words[i:i + 16]) for i in range(0, len(words), 16))


def main():
    default = pathlib.Path(__file__).parent.parent / "tests/worker/model/testdata/gpt_reference.txt"
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    start = weights()
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, VOCABULARY, (BATCH, CONTEXT + 1), generator=generator)
    w = {name: value.double().requires_grad_() for name, value in start.items()}
    loss = loss_of(w, tokens)
    loss.backward()
    lines = [f"shape {LAYERS} {HEADS} {WIDTH} {CONTEXT} {BATCH} {VOCABULARY}",
             "tokens " + " ".join(str(token) for token in tokens.reshape(-1).tolist()),
             f"loss {loss.item():.17g}"]
    for name, value in start.items():
        lines += [f"weight {name} {value.numel()}", hexadecimal(value)]
    for name, value in w.items():
        lines += [f"gradient {name} {value.numel()}", hexadecimal(value.grad)]
    output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
