#!/usr/bin/env python3
"""The peer of the GPU benchmarks (gpt_pytorch.py) beside Muster, on the CPU: it is worth comparing with only if it trains the
same model on the same tokens.

    hack/dev transformers             fetches what it needs, then runs this too
    hack/gpu/check_peer.py            needs PyTorch and transformers, and muster and muster-worker in MUSTER_BIN_DIR

A small GPT, weights that gpt_pytorch.py writes, text as tokens: 12 steps by `muster run` in floats, and by variants `eager`
and `a` (transformers' own model) of the peer. Losses and the held-out loss have to agree; both compute in float32, and
seen were differences below 1e-6.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench  # noqa: E402
import tokens  # noqa: E402

SHAPE = {"layers": 2, "heads": 2, "width": 32, "context": 32, "vocabulary": 304, "batch": 2, "slots": 4, "steps": 12,
         "learningRate": 0.003, "warmupSteps": 4, **bench.TRAINING}
MOST_DIFFERENCE = 1e-5


def trained_by_muster(folder):
    """(losses of the steps, held-out loss)."""
    config = {name: SHAPE[name] for name in ("layers", "heads", "width", "context", "batch", "vocabulary", "learningRate",
                                             "warmupSteps", "weightDecay", "clip")}
    manifest = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "peer"},
                "spec": {"workers": {"replicas": 1},
                         "program": {"builtin": "gpt", "weights": {"path": str(folder / "weights.safetensors")},
                                     "config": {**config, "device": "cpu"}},
                         "training": {"steps": SHAPE["steps"], "slots": SHAPE["slots"], "reduction": "Float"},
                         "data": {"path": str(folder / "tokens.bin"), "format": "llmc"}}}
    (folder / "job.yaml").write_text(json.dumps(manifest))
    muster = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", ROOT / "build/release/bin")) / "muster"
    said = subprocess.run([str(muster), "run", str(folder / "job.yaml"), "--state-dir", str(folder / "state"), "--output",
                           "json"], capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0, said.stderr
    lines = (folder / "state/checkpoints/steps.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines], float(json.loads(said.stdout)["status"]["result"]["heldOutLoss"])


def main():
    with tempfile.TemporaryDirectory(prefix="muster-peer-") as name:
        folder = pathlib.Path(name)
        tokens.write_llmc(folder / "tokens.bin", tokens.encode(tokens.real_text(ROOT, 30000), 300))
        script = str(ROOT / "hack/gpu/gpt_pytorch.py")
        subprocess.run([sys.executable, script, "weights", str(folder / "weights.safetensors"), "--shape",
                        json.dumps(SHAPE)], check=True)
        mine, held_out = trained_by_muster(folder)
        peer = bench.Peer(sys.executable, types.SimpleNamespace(
            peer_shape=SHAPE, weights=folder / "weights.safetensors", tokens=folder / "tokens.bin", scratch=folder), "peer")
        try:
            print("peer:", peer.answer(60))
            for variant in ("eager", "a"):
                peer.ask({"variant": variant, "load": True}, 60)
                theirs = peer.ask({"variant": variant, "train": SHAPE["steps"], "heldOutAt": [SHAPE["steps"]]}, 120)
                losses, ends = theirs["losses"], list(theirs["heldOut"].values())
                assert len(losses) == len(mine) == SHAPE["steps"] and losses[-1] < losses[0], losses
                worst = max(abs(a - b) for a, b in zip(mine, losses))
                print(f"{variant}: losses part by at most {worst:.1e} in {SHAPE['steps']} steps, the held-out loss by "
                      f"{abs(held_out - ends[-1]):.1e}")
                assert worst < MOST_DIFFERENCE and abs(held_out - ends[-1]) < MOST_DIFFERENCE
        finally:
            peer.stop()


if __name__ == "__main__":
    main()
