#!/usr/bin/env python3
"""Recomputes a checkpoint's `digest` and `weightsDigest` from its files, without any of Muster's code.

usage: hack/digest.py FOLDER

FOLDER is a checkpoint path (the newest committed one, by latest.json) or one of its step folders. Both
lines can be compared with what `muster run` prints at its end. Every part's size and checksum, the
manifest's digest of the state and, where there is one, model.safetensors are compared on the way; exit
status 1 and a sentence on standard error when something does not agree.

worker/exact/digest.h states the formula (E8): every element of the state is mixed with its place, and
the results are added mod 2^64, so that neither order nor the cut into parts matters.
"""

import hashlib
import json
import pathlib
import struct
import sys

try:
    import numpy
except ImportError:
    numpy = None  # a hundred times slower, same result

MASK = (1 << 64) - 1
MASK32 = (1 << 32) - 1
GOLDEN = 0x9E3779B97F4A7C15
BLOCK = 1 << 20  # elements at a time
STREAMS = {"weights": 0, "adam.m": 1, "adam.v": 2}


class Mismatch(Exception):
    """The files contradict each other; the text is for people."""


def mix64(x):
    """SplitMix64's output function (operator/base/rng.h)."""
    x = (x + GOLDEN) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def mix32(x):
    """MurmurHash3's finaliser."""
    x = x ^ (x >> 16)
    x = (x * 0x85EBCA6B) & MASK32
    x = x ^ (x >> 13)
    x = (x * 0xC2B2AE35) & MASK32
    return x ^ (x >> 16)


def fold(content, index, stream):
    """What the elements in `content` (bytes of floats, the first is element `index`) add to the digest."""
    total, at = 0, 0
    while at < len(content):
        place = index + at // 4
        count = min(BLOCK, (len(content) - at) // 4, (1 << 32) - (place & MASK32))
        key = mix64((stream << 32) + (place >> 32))
        block = content[at:at + 4 * count]
        total += (fold_array if numpy else fold_plain)(block, place & MASK32, key & MASK32, key >> 32)
        at += 4 * count
    return total & MASK


def fold_plain(block, low, key_low, key_high):
    total = 0
    for (bits,) in struct.iter_unpack("<I", block):
        mixed = mix32(bits ^ ((low * 0x9E3779B1 + key_low) & MASK32))
        total += mixed * (((low * 0x85EBCA77 + key_high) & MASK32) | 1)
        low += 1
    return total


def fold_array(block, low, key_low, key_high):
    u64 = numpy.uint64  # products of two 32-bit values fit, sums wrap as they should
    bits = numpy.frombuffer(block, dtype="<u4").astype(u64)
    places = numpy.arange(low, low + len(bits), dtype=u64)
    wide = {name: u64(value) for name, value in
            (("a", 0x9E3779B1), ("b", 0x85EBCA77), ("mask", MASK32), ("low", key_low), ("high", key_high))}
    x = bits ^ ((places * wide["a"] + wide["low"]) & wide["mask"])
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> u64(shift))) * u64(factor)) & wide["mask"]
    x = x ^ (x >> u64(16))
    weight = ((places * wide["b"] + wide["high"]) & wide["mask"]) | u64(1)
    return int(numpy.sum(x * weight, dtype=u64))


def read_safetensors(path):
    """({name: (shape, first byte, last byte + 1)}, whole content) of a file of F32 tensors."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise Mismatch(f"{path}: {name} is {entry['dtype']}; a checkpoint holds F32")
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["shape"], 8 + length + begin, 8 + length + end)
    return tensors, content


def newest_folder(path):
    if (path / "manifest.json").exists():
        return path, None
    latest = path / "latest.json"
    if not latest.exists():
        raise Mismatch(f"{path} has neither manifest.json (a step folder) nor latest.json (a checkpoint path)")
    checkpoint = json.loads(latest.read_text())["checkpoint"]
    return path / checkpoint["folder"], checkpoint["digest"]


def read_parts(folder, manifest):
    """Yields (vector name, first element, bytes) of every part after checking its checksum."""
    for part in manifest["parts"]:
        path = folder / part["file"]
        tensors, content = read_safetensors(path)
        if len(content) != int(part["bytes"]) or hashlib.sha256(content).hexdigest() != part["sha256"]:
            raise Mismatch(f"{path} is not the file that the manifest names (size or SHA-256)")
        for name, (_, begin, end) in tensors.items():
            yield name, int(part["begin"]), content[begin:end]


def state_digest(manifest, folds):
    """E8's digest as 16 hexadecimal digits."""
    digest = mix64(int(manifest["step"]))
    exponents = manifest["exponents"]
    for word in (int(manifest["updateCount"]), folds["weights"], folds["adam.m"], folds["adam.v"],
                 len(exponents), *(exponent & MASK32 for exponent in exponents)):
        digest = mix64(digest ^ word)
    return f"{digest or 1:016x}"


def model_digest(folder, weights):
    """The SHA-256 of model.safetensors, whose tensors in order are the flat weights; None without one."""
    path = folder / "model.safetensors"
    if not path.exists():
        return None
    tensors, content = read_safetensors(path)
    ordered = sorted(tensors.values(), key=lambda entry: entry[1])
    if hashlib.sha256(content[ordered[0][1]:]).digest() != weights.digest():
        raise Mismatch(f"{path} does not hold the weights of the parts beside it")
    return hashlib.sha256(content).hexdigest()


def recompute(path):
    """(digest, weights digest or None) of the checkpoint in a folder."""
    folder, named = newest_folder(path)
    text = (folder / "manifest.json").read_bytes()
    if named and hashlib.sha256(text).hexdigest() != named:
        raise Mismatch(f"{folder}/manifest.json is not the one that latest.json names")
    manifest = json.loads(text)
    folds, weights = {name: 0 for name in STREAMS}, hashlib.sha256()
    for name, begin, content in read_parts(folder, manifest):
        folds[name] = (folds[name] + fold(content, begin, STREAMS[name])) & MASK
        if name == "weights":
            weights.update(content)
    digest = state_digest(manifest, folds)
    if digest != manifest["stateDigest"]:
        raise Mismatch(f"{folder}: the state's digest is {digest}, its manifest says {manifest['stateDigest']}")
    return digest, model_digest(folder, weights)


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stdout if arguments in (["-h"], ["--help"]) else sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        digest, weights_digest = recompute(pathlib.Path(arguments[0]))
    except (Mismatch, OSError, ValueError, KeyError, struct.error) as error:
        print(f"digest: {error}", file=sys.stderr)
        return 1
    print(f"digest: {digest}")
    if weights_digest:
        print(f"weightsDigest: {weights_digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
