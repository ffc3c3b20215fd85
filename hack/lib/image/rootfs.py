"""The root file system of an image: a folder, and for each of its files the package that it came from.

Modes and times are set here, so that neither the umask nor the clock of a machine shows in the image.
"""

import os
import pathlib
import shutil

OURS = "muster"


class Rootfs:
    """A folder that is filled; `origin` is {path in the image: package}, `made` the files that are no plain copies,
    `wheels` those of the packages that are Python's and not Debian's, by name."""

    def __init__(self, root):
        self.root, self.origin, self.made, self.wheels = pathlib.Path(root), {}, set(), {}
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)

    def place(self, path):
        """Where the image's `path` lies here; its folders are made."""
        path = path.lstrip("/")
        for parent in reversed(pathlib.PurePosixPath(path).parents[:-1]):
            self.folder(str(parent))
        return self.root / path

    def folder(self, path, mode=0o755):
        here = self.root / path.lstrip("/")
        if not here.is_dir():
            here.mkdir(parents=True)
            here.chmod(mode)

    def copy(self, source, path, package=OURS, mode=0o644):
        here = self.place(path)
        shutil.copyfile(source, here)
        here.chmod(mode)
        self.origin[path.lstrip("/")] = package

    def write(self, path, text, package=OURS):
        here = self.place(path)
        here.write_text(text)
        here.chmod(0o644)
        self.origin[path.lstrip("/")] = package
        self.made.add(path.lstrip("/"))

    def write_by(self, tool, path, mode):
        """A file that `tool(where)` writes."""
        here = self.place(path)
        tool(here)
        here.chmod(mode)
        self.origin[path] = OURS
        self.made.add(path)

    def link(self, path, target):
        here = self.place(path)
        if not here.is_symlink():
            here.symlink_to(target)

    def settle(self, epoch):
        """Equal times for equal contents; a tool that copies this folder keeps them."""
        for parent, folders, files in os.walk(self.root, topdown=False):
            for name in folders + files:
                os.utime(os.path.join(parent, name), (epoch, epoch), follow_symlinks=False)
        os.utime(self.root, (epoch, epoch))

    def size(self):
        return sum((self.root / path).stat().st_size for path in self.origin)
