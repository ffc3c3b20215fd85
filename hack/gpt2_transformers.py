#!/usr/bin/env python3
"""Muster's GPT-2 beside Hugging Face's: the same weights, the same numbers, in both directions.

    hack/dev transformers                        fetches what it needs, then `check`
    hack/gpt2_transformers.py check              needs muster and muster-worker in MUSTER_BIN_DIR
    hack/gpt2_transformers.py reference [FOLDER] writes tests/worker/checkpoint/testdata/transformers anew

`reference` makes a tiny random GPT-2, saves it with save_pretrained in F32 and in BF16, and writes the logits that
transformers computes from each file in float64. The unit test worker_checkpoint_transformers_test reads them.

`check` does what a user does. transformers saves a model; `muster run` starts from it (F32, then BF16); the loss of
its first step must be the one that transformers computes for the same samples from the same file. Then
transformers opens the model.safetensors that Muster exported, and its loss on the held-out part must be the one
that Muster reports. It also computes the committed logits again.
"""

import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, __version__ as transformers_version

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "tests/worker/checkpoint/testdata/transformers"
LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY = 2, 4, 32, 8, 96
STEPS, SLOTS, BATCH = 12, 8, 2
FORMATS = {"f32": torch.float32, "bf16": torch.bfloat16}
# Muster computes in float32, the reference in float64. Seen: below 1e-6 of the loss.
MOST_DIFFERENCE = 1e-5


def made_model(seed):
    """Larger than initial weights and with norms that are not the identity, so that every tensor counts."""
    config = GPT2Config(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_positions=CONTEXT, vocab_size=VOCABULARY,
                        bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            values = torch.randn(weights.shape, generator=generator) * 0.2
            is_gain = ".ln_" in name and name.endswith("weight")
            weights.copy_(values + 1.0 if is_gain else values)
    return model


def opened(folder):
    """The model of a folder in float64, whatever it was saved in."""
    return GPT2LMHeadModel.from_pretrained(folder, torch_dtype=torch.float32).double().eval()


def logits_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0]


def loss_of(model, rows):
    """Mean nats a token of rows of CONTEXT + 1 tokens."""
    rows = torch.tensor(rows)
    with torch.no_grad():
        logits = model(rows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), rows[:, 1:].reshape(-1)).item()


def some_tokens(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (count,), generator=generator).tolist()


def hexadecimal(values):
    words = [struct.pack(">f", value).hex() for value in values]
    return "\n".join(" ".join(words[i:i + 16]) for i in range(0, len(words), 16))


def write_reference(folder):
    tokens = some_tokens(CONTEXT, 11)
    for name, dtype in FORMATS.items():
        made_model(20240607).to(dtype).save_pretrained(folder / name)
        (folder / name / "generation_config.json").unlink(missing_ok=True)
        logits = logits_of(opened(folder / name), tokens).reshape(-1).tolist()
        (folder / name / "logits.txt").write_text(
            f"tokens {' '.join(map(str, tokens))}\nlogits {len(logits)}\n{hexadecimal(logits)}\n")


def check_reference():
    for name in FORMATS:
        tokens, logits = (REFERENCE / name / "logits.txt").read_text().split("\n", 1)
        expected = [struct.unpack(">f", bytes.fromhex(word))[0] for word in logits.split()[2:]]
        found = logits_of(opened(REFERENCE / name), [int(t) for t in tokens.split()[1:]]).reshape(-1).tolist()
        worst = max(abs(a - b) for a, b in zip(expected, found, strict=True))
        print(f"{name}: committed logits, largest difference {worst:.1e}")
        assert worst < 1e-5, "the committed logits are not those of this version"


def write_tokens(path):
    """Tokens with some structure: each often follows from the one before."""
    noise = some_tokens(6000, 5)
    tokens = [0]
    for value in noise:
        tokens.append((tokens[-1] * 5 + 7) % VOCABULARY if value % 3 else value)
    path.write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
    return tokens


def trained(folder, weights, data):
    """A run of `muster run` that started from `weights`: its status, audit, first loss and exported folder."""
    manifest = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": folder.name},
                "spec": {"workers": {"replicas": 2},
                         "program": {"builtin": "gpt", "weights": {"path": str(weights)},
                                     "config": {"layers": LAYERS, "heads": HEADS, "width": WIDTH, "context": CONTEXT,
                                                "batch": BATCH, "vocabulary": VOCABULARY, "warmupSteps": 0}},
                         "training": {"steps": STEPS, "slots": SLOTS},
                         "data": {"path": str(data), "format": "tokens16"}}}
    folder.mkdir()
    (folder / "job.yaml").write_text(json.dumps(manifest))
    muster = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", ROOT / "build/release/bin")) / "muster"
    said = subprocess.run([str(muster), "run", str(folder / "job.yaml"), "--state-dir", str(folder / "state"), "--audit",
                           str(folder / "audit.jsonl"), "--output", "json"], capture_output=True, text=True, timeout=120,
                          check=False)
    assert said.returncode == 0, said.stderr
    checkpoints = folder / "state/checkpoints"
    first = json.loads((checkpoints / "steps.jsonl").read_text().splitlines()[0])
    audit = json.loads((folder / "audit.jsonl").read_text().splitlines()[0])
    assert (first["step"], audit["step"]) == (1, 1)
    exported = next(checkpoints.glob("step-*/model.safetensors")).parent
    return json.loads(said.stdout)["status"], audit, first["loss"], exported


def agree(what, mine, theirs):
    difference = abs(mine - theirs) / theirs
    print(f"{what}: Muster {mine:.9f}, transformers {theirs:.9f}, {difference:.1e} apart")
    assert math.isfinite(mine) and difference < MOST_DIFFERENCE, what


def check_run(folder, name, dtype):
    model = made_model(4711).to(dtype)
    model.save_pretrained(folder / name)
    tokens = write_tokens(folder / "tokens.bin")
    status, audit, first_loss, exported = trained(folder / f"run-{name}", folder / name, folder / "tokens.bin")
    starts = [start for slot in audit["slots"] for start in slot["samples"]]
    assert len(starts) == SLOTS * BATCH
    window = CONTEXT + 1
    agree(f"{name}, first step", first_loss,
          loss_of(opened(folder / name), [tokens[start:start + window] for start in starts]))
    held_out = len(tokens) // 10
    first = len(tokens) - held_out
    rows = [tokens[at:at + window] for at in range(first, len(tokens) - CONTEXT, CONTEXT)]
    assert len(rows) == (held_out - 1) // CONTEXT
    agree(f"{name}, exported model", float(status["result"]["heldOutLoss"]), loss_of(opened(exported), rows))
    assert loss_of(opened(folder / name), rows) != loss_of(opened(exported), rows), "it has not trained"


def main():
    print(f"transformers {transformers_version}, torch {torch.__version__}")
    if sys.argv[1:2] == ["reference"]:
        write_reference(pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else REFERENCE)
        return
    if sys.argv[1:] not in ([], ["check"]):
        sys.exit(__doc__)
    check_reference()
    with tempfile.TemporaryDirectory(prefix="muster-transformers-") as scratch:
        for name, dtype in FORMATS.items():
            check_run(pathlib.Path(scratch), name, dtype)


if __name__ == "__main__":
    main()
