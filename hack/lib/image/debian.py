"""What dpkg knows: which package a file came from, its version, its licence.

A file that no package owns is refused, because nobody could say its version or its licence.
"""

import os
import pathlib
import re
import subprocess

from image.archive import Refused

FIELDS = ("name", "version", "architecture", "source", "source_version", "maintainer")
FORMAT = "\\t".join(("${Package}", "${Version}", "${Architecture}", "${source:Package}", "${source:Version}",
                     "${Maintainer}")) + "\\n"


def ask(*arguments):
    """dpkg-query's lines; that it exits with 1 for one unknown name of many is no error here."""
    try:
        run = subprocess.run(["dpkg-query", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             check=False, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise Refused("dpkg-query is missing; images are made of Debian's or Ubuntu's packages, on such a machine") \
            from None
    return run.stdout.splitlines()


def spellings(path):
    """Since /lib became a link into /usr, dpkg still knows some files by the shorter path and some by the longer."""
    path = os.path.realpath(path)
    return (path, path.removeprefix("/usr")) if path.startswith("/usr/") else (path, "/usr" + path)


def owners(paths):
    """{path: name of its package} for all of them; refuses when one has none."""
    asked = {spelling: path for path in paths for spelling in spellings(path)}
    found = {}
    for line in ask("-S", *asked) if asked else ():
        names, _, spelling = line.partition(": ")
        if spelling in asked and not names.startswith("diversion by"):
            found[asked[spelling]] = names.split(",")[0].split(":")[0]
    for path in paths:
        if path not in found:
            raise Refused(f"{path} belongs to no Debian package, so its version and its licence are unknown; "
                          "an image is made of Muster's own programs and of packages")
    return found


def packages(names):
    """{name: its fields} of installed packages."""
    rows = (line.split("\t") for line in ask("-W", f"-f={FORMAT}", *sorted(names)))
    known = {row[0]: dict(zip(FIELDS, row)) for row in rows}
    for name in names:
        if name not in known or not known[name]["version"]:
            raise Refused(f"the package {name} is not installed: apt-get install {name}")
    return known


def control(name):
    """The package's record as in dpkg's status file, which scanners of images read."""
    return "\n".join(ask("-s", name)) + "\n"


def copyright_file(name):
    path = pathlib.Path(os.path.realpath(f"/usr/share/doc/{name}/copyright"))
    if not path.is_file():
        raise Refused(f"/usr/share/doc/{name}/copyright is missing, and no copy is given away without its licence; "
                      f"apt-get install --reinstall {name}")
    return path


def listed(name, folder, suffix):
    """The package's own files of that suffix below the folder, sorted."""
    return sorted(line for line in ask("-L", name) if line.startswith(f"{folder}/") and line.endswith(suffix))


def release():
    """(distribution, version) as scanners call them: ("debian", "12")."""
    text = pathlib.Path("/usr/lib/os-release").read_text()
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return fields.get("ID", "linux"), fields.get("VERSION_ID", "")
