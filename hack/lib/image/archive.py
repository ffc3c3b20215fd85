"""A folder as a container image of one layer, without a container tool: an OCI layout in a tar file.

Equal folders and equal settings give equal bytes: nothing in the archive says when, where or by whom it was made.
The layer is compressed on request alone, because zlib's output, and so the image's digest, differs between its releases.
containerd, podman and skopeo read `index.json`; `manifest.json` is there for `docker load` before release 25.

usage: archive.py NAME FOLDER OUT.tar [ENTRYPOINT...]
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import stat
import sys
import tarfile
import tempfile

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image."


class Refused(Exception):
    """What a person reads: the sentence names what is wrong and what would be right."""


def architecture():
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def full_name(name):
    """`muster/operator:1` is `docker.io/muster/operator:1` to every registry client, so to containerd's store too."""
    first, _, rest = name.partition("/")
    if not rest:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def check_name(name):
    if not NAME.fullmatch(name):
        raise Refused(f"the image name '{name}' must look like muster.local/name:tag")


def encoded(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def described(kind, data):
    return {"mediaType": f"{MEDIA}{kind}", "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def plain_entry(name, mode, epoch):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = mode, epoch
    return entry


def add_path(tar, folder, name, epoch):
    path = folder / name
    status = path.lstat()
    entry = plain_entry(name, stat.S_IMODE(status.st_mode), epoch)
    if stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    elif stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        tar.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        entry.size = status.st_size
        with open(path, "rb") as file:
            tar.addfile(entry, file)
    else:
        raise Refused(f"{path} is neither a file nor a folder nor a link; an image of ours holds nothing else")


def names_below(folder):
    """Every path below the folder, sorted by its bytes: a folder comes before what is in it."""
    names = []
    for parent, folders, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(parent, name), folder) for name in folders + files]
    return sorted(names, key=os.fsencode)


def write_layer(folder, out, epoch=0):
    """The folder's content as a layer; returns its sum."""
    folder = pathlib.Path(folder)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names_below(folder):
            add_path(tar, folder, name, epoch)
    return sum_of(out)


def compressed(layer, out):
    """The same layer by gzip, with nothing in its header; returns its sum."""
    layer.seek(0)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as file:
        shutil.copyfileobj(layer, file, 1 << 20)
    return sum_of(out)


def sum_of(file):
    file.seek(0)
    total = hashlib.sha256()
    while block := file.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def documents(name, settings, plain_sum, layer):
    """The JSON of an image of that layer (a descriptor): (manifest's digest, {path in the archive: bytes})."""
    config = encoded({"architecture": architecture(), "os": "linux", "config": settings,
                      "rootfs": {"type": "layers", "diff_ids": [f"sha256:{plain_sum}"]}})
    about_config = described("config.v1+json", config)
    manifest = encoded({
        "schemaVersion": 2, "mediaType": f"{MEDIA}manifest.v1+json", "config": about_config,
        "layers": [layer]})
    about_manifest = described("manifest.v1+json", manifest)
    about_manifest["platform"] = {"architecture": architecture(), "os": "linux"}
    about_manifest["annotations"] = {"io.containerd.image.name": full_name(name),
                                     "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    return about_manifest["digest"], {
        "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
        "index.json": encoded({"schemaVersion": 2, "mediaType": f"{MEDIA}index.v1+json",
                               "manifests": [about_manifest]}),
        "manifest.json": encoded([{"Config": blob(about_config["digest"]), "RepoTags": [name],
                                   "Layers": [blob(layer["digest"])]}]),
        blob(about_config["digest"]): config,
        blob(about_manifest["digest"]): manifest}


def blob(digest):
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def write_image(name, folder, out, settings, epoch=0, compress=False):
    """Writes the archive; returns the image's digest, which is that of its manifest, and the plain layer's sum."""
    check_name(name)
    if not pathlib.Path(folder).is_dir():
        raise Refused(f"{folder} is not a folder; an image is packed from one")
    out = pathlib.Path(out)
    with tempfile.TemporaryFile(dir=out.parent) as plain, tempfile.TemporaryFile(dir=out.parent) as packed:
        plain_sum = write_layer(folder, plain, epoch)
        layer = packed if compress else plain
        layer_sum = compressed(plain, packed) if compress else plain_sum
        digest, files = documents(name, settings, plain_sum, {
            "mediaType": f"{MEDIA}layer.v1.tar" + ("+gzip" if compress else ""), "digest": f"sha256:{layer_sum}",
            "size": layer.seek(0, os.SEEK_END)})
        write_archive(out, files, layer, layer_sum, epoch)
    return digest, plain_sum


def write_archive(out, files, layer, layer_sum, epoch):
    partial = out.with_name(out.name + ".partial")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in ("blobs", "blobs/sha256"):
            entry = plain_entry(path, 0o755, epoch)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for path, data in sorted(files.items()):
            entry = plain_entry(path, 0o644, epoch)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        entry = plain_entry(blob(layer_sum), 0o644, epoch)
        entry.size = layer.seek(0, os.SEEK_END)
        layer.seek(0)
        tar.addfile(entry, layer)
    partial.replace(out)


def main(arguments):
    if len(arguments) < 3:
        print(__doc__.rpartition("\n\n")[2], end="", file=sys.stderr)
        return 2
    name, folder, out, *entrypoint = arguments
    try:
        write_image(name, folder, out, {"Env": ["PATH=/usr/bin:/bin"], "Entrypoint": entrypoint})
    except (Refused, OSError) as error:
        print(f"muster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
