#!/usr/bin/env python3
"""The peer: the same GPT-2 in PyTorch, from the same weights, on the same tokens, in the ways that PyTorch has.

    gpt_pytorch.py weights FILE --shape JSON          random weights under Hugging Face's names, in bfloat16
    gpt_pytorch.py serve --shape JSON --weights FILE --tokens FILE
                                                      reads orders from standard input, one JSON a line, each about a
                                                      "variant", and answers each with one: {"load": ALONE},
                                                      {"losses": N}, {"time": N}, {"train": N, "heldOutAt": [...]},
                                                      {"heldOut": true}, {"end": true}

Variants: `eager` (no compiler: for a CPU), and what is compared with on a GPU:

  a  Hugging Face's GPT2LMHeadModel, compiled, as transformers attends by default
  b  a GPT as people write it by hand (one product for q, k, v; PyTorch's own attention), compiled
  c  b, with cuDNN's attention
  d  c, compiled with max-autotune (without CUDA graphs, which do not add gradients of several micro-batches up)

All: weights and moments in float32, products in bfloat16 (autocast), fused AdamW, gradients of M micro-batches of B
summed and clipped, tied head, no dropout. A step's time ends when the device is done with it. On a CPU all is float32
and nothing is compiled. Needs PyTorch 1.13 for `eager`, 2.5 for the rest, transformers for a.
"""

import argparse
import json
import math
import os
import pathlib
import struct
import sys
import time

import torch
from torch import nn
from torch.nn import functional

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import order  # noqa: E402
import tokens as token_files  # noqa: E402

VARIANTS = ("eager", "a", "b", "c", "d")
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")


def shapes(shape):
    """Names and sizes as Hugging Face has them; matrices of layers are [in, out]."""
    width = shape["width"]
    yield "wte.weight", (shape["vocabulary"], width)
    yield "wpe.weight", (shape["context"], width)
    for layer in range(shape["layers"]):
        for name, size in (("ln_1.weight", (width,)), ("ln_1.bias", (width,)), ("attn.c_attn.weight", (width, 3 * width)),
                           ("attn.c_attn.bias", (3 * width,)), ("attn.c_proj.weight", (width, width)),
                           ("attn.c_proj.bias", (width,)), ("ln_2.weight", (width,)), ("ln_2.bias", (width,)),
                           ("mlp.c_fc.weight", (width, 4 * width)), ("mlp.c_fc.bias", (4 * width,)),
                           ("mlp.c_proj.weight", (4 * width, width)), ("mlp.c_proj.bias", (width,))):
            yield f"h.{layer}.{name}", size
    yield "ln_f.weight", (width,)
    yield "ln_f.bias", (width,)


def write_weights(path, shape):
    """GPT-2's usual start, in bfloat16: half of the bytes, and floats hold each of them exactly."""
    generator = torch.Generator(device=DEVICE).manual_seed(20240607)
    header, at = {}, 0
    for name, size in shapes(shape):
        length = 2 * math.prod(size)
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [at, at + length]}
        at += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, size in shapes(shape):
            if name.endswith(".bias"):
                values = torch.zeros(size, device=DEVICE)
            elif len(size) == 1:
                values = torch.ones(size, device=DEVICE)
            else:
                scale = 0.02 / math.sqrt(2 * shape["layers"]) if name.endswith("c_proj.weight") else 0.02
                values = torch.randn(size, generator=generator, device=DEVICE) * scale
            file.write(values.to(torch.bfloat16).cpu().view(torch.int16).numpy().tobytes())


def read_weights(path):
    """{name: float32 tensor} of a safetensors file, or of the one in a folder."""
    path = pathlib.Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        out = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            file.seek(8 + length + begin)
            flat = torch.frombuffer(bytearray(file.read(end - begin)), dtype=DTYPES[entry["dtype"]])
            out[name.removeprefix("transformer.")] = flat.reshape(entry["shape"]).float()
    return out


def attend(query, key, value):
    if hasattr(functional, "scaled_dot_product_attention"):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ value


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        rows, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, dim=2)
        query, key, value = (part.view(rows, length, self.heads, -1).transpose(1, 2) for part in parts)
        x = x + self.merge(attend(query, key, value).transpose(1, 2).reshape(rows, length, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """Variants b to d, and eager."""

    NAMES = {"ln_1": "norm1", "ln_2": "norm2", "attn.c_attn": "qkv", "attn.c_proj": "merge", "mlp.c_fc": "up",
             "mlp.c_proj": "down"}

    def __init__(self, shape):
        super().__init__()
        width = shape["width"]
        self.wte, self.wpe = nn.Embedding(shape["vocabulary"], width), nn.Embedding(shape["context"], width)
        self.blocks = nn.ModuleList(Block(width, shape["heads"]) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(width)

    def take(self, weights):
        own = dict(self.named_parameters())
        with torch.no_grad():
            for name, values in weights.items():
                mine = name
                if name.startswith("h."):
                    _, layer, rest = name.split(".", 2)
                    module, kind = rest.rsplit(".", 1)
                    mine = f"blocks.{layer}.{self.NAMES[module]}.{kind}"
                    values = values.t() if values.dim() == 2 else values
                own.pop(mine.replace("ln_f", "norm")).copy_(values)
        assert not own, f"weights that the file lacks: {sorted(own)}"

    def forward(self, inputs, targets):
        x = self.wte(inputs) + self.wpe.weight[:inputs.size(1)]
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.wte.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class HuggingFace(nn.Module):
    """Variant a."""

    def __init__(self, shape):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel  # pylint: disable=import-outside-toplevel
        config = GPT2Config(n_layer=shape["layers"], n_head=shape["heads"], n_embd=shape["width"],
                            n_positions=shape["context"], vocab_size=shape["vocabulary"], resid_pdrop=0, embd_pdrop=0,
                            attn_pdrop=0, use_cache=False)
        self.model = GPT2LMHeadModel(config)

    def take(self, weights):
        missing, unexpected = self.model.transformer.load_state_dict(weights, strict=False)
        assert not unexpected and all("attn.bias" in name or "masked_bias" in name for name in missing), missing

    def forward(self, inputs, targets):
        logits = self.model(inputs).logits
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Trainer:
    """One variant from the file's weights on; steps are numbered from 1 as Muster's."""

    def __init__(self, variant, shape, weights, windows):
        self.shape, self.windows, self.variant = shape, windows, variant
        self.tokens = torch.tensor(windows.tokens.tolist(), dtype=torch.int32)
        model = HuggingFace(shape) if variant == "a" else Gpt(shape)
        model.take(weights)
        self.raw = model.to(DEVICE)
        self.model = self.raw
        if variant != "eager" and ON_GPU:
            self.model = torch.compile(self.raw, mode="max-autotune-no-cudagraphs" if variant == "d" else None)
        decayed = [p for p in self.raw.parameters() if p.dim() > 1]
        plain = [p for p in self.raw.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": shape["weightDecay"]},
                                            {"params": plain, "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.95),
                                           eps=1e-8, **({"fused": True} if ON_GPU else {}))
        self.step = 0

    def rows(self, starts):
        flat = torch.stack([self.tokens[start:start + self.windows.window] for start in starts]).long()
        flat = flat.pin_memory().to(DEVICE, non_blocking=True) if ON_GPU else flat
        return flat[:, :-1].contiguous(), flat[:, 1:].contiguous()

    def loss(self, starts):
        if not ON_GPU:
            return self.model(*self.rows(starts))
        with torch.autocast("cuda", dtype=torch.bfloat16), self.attention():
            return self.model(*self.rows(starts))

    def attention(self):
        if self.variant in ("c", "d"):
            from torch.nn.attention import SDPBackend, sdpa_kernel  # pylint: disable=import-outside-toplevel
            return sdpa_kernel([SDPBackend.CUDNN_ATTENTION])
        return torch.enable_grad()

    def train_step(self):
        """The step's mean loss, on the device."""
        self.step += 1
        rate = order.learning_rate(self.step, self.shape["steps"], self.shape["learningRate"], self.shape["warmupSteps"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = None
        for slot in range(self.windows.slots):
            loss = self.loss(self.windows.starts(self.step, slot)) / self.windows.slots
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        nn.utils.clip_grad_norm_(self.raw.parameters(), self.shape["clip"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def held_out(self):
        """Mean nats a token, over rows of the batch's size and a last one that is filled up with rows of no weight."""
        rows, batch, total = self.windows.held_out_starts(), self.windows.batch, 0.0
        with torch.no_grad():
            for at in range(0, len(rows), batch):
                part = rows[at:at + batch]
                if len(part) == batch:
                    total += self.loss(part).item() * batch
                else:  # another size would be compiled again
                    total += sum(self.loss([row] * batch).item() for row in part)
        return total / len(rows)

    def times(self, count):
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            self.train_step()
            if ON_GPU:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
        return times


def obey(command, trainers, shape, windows, path):
    variant = command["variant"]
    if "load" in command:
        begin = time.perf_counter()
        if command["load"]:
            trainers.clear()
        if ON_GPU:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        trainers[variant] = Trainer(variant, shape, read_weights(path), windows)
        return {"seconds": time.perf_counter() - begin}
    trainer = trainers[variant]
    if "losses" in command:
        return {"losses": [trainer.train_step().item() for _ in range(command["losses"])]}
    if "time" in command:
        found = {"seconds": trainer.times(command["time"]),
                 "peakMiB": torch.cuda.max_memory_allocated() >> 20 if ON_GPU else None}
        if ON_GPU:
            torch.cuda.empty_cache()  # others are measured next
        return found
    if "train" in command:
        losses, held_out, begin = [], {}, time.perf_counter()
        for _ in range(command["train"]):
            losses.append(trainer.train_step().item())
            if trainer.step in command["heldOutAt"]:
                held_out[trainer.step] = trainer.held_out()
        return {"losses": losses, "heldOut": held_out, "seconds": time.perf_counter() - begin}
    return {"heldOut": trainer.held_out()}


def serve(shape, weights, tokens):
    windows = order.Windows(token_files.read_llmc(tokens), shape["context"], shape["seed"], shape["slots"], shape["batch"])
    trainers = {}
    # What libraries print goes elsewhere: answers are the only lines.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if ON_GPU:
        torch.set_float32_matmul_precision("high")
    print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name() if ON_GPU else "cpu",
                      "samples": windows.samples}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "end" in command:
            return
        try:
            answer = obey(command, trainers, shape, windows, weights)
        except Exception as error:  # pylint: disable=broad-except  # of one variant: the next may work
            answer = {"failed": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(answer), file=answers, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("weights", "serve"))
    parser.add_argument("file", nargs="?", help="of weights, to write")
    parser.add_argument("--shape", type=json.loads, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--tokens")
    options = parser.parse_args()
    if options.verb == "weights":
        write_weights(options.file, options.shape)
    else:
        serve(options.shape, options.weights, options.tokens)


if __name__ == "__main__":
    main()
