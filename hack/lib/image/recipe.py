"""What is in an image of Muster: the program, what its loader asks for, and the few files that libraries open by name.

Nothing else: no shell, no package manager, no set-user-id file. What is opened at run time and is not in the list of
shared libraries was found by tracing the programs (docs/install.md).
"""

import os
import pathlib
import re
import subprocess
import typing

from image import debian, wheels
from image.archive import Refused, architecture
from image.rootfs import OURS, Rootfs

SOURCE = pathlib.Path(__file__).resolve().parents[3]
USER = 65532
PASSWD = (f"root:x:0:0:root:/:/usr/sbin/nologin\n"
          f"muster:x:{USER}:{USER}:muster:/nonexistent:/usr/sbin/nologin\n")
GROUP = f"root:x:0:\nmuster:x:{USER}:\n"
# Both ways are inside glibc; the file keeps gRPC's resolver and glibc of one mind about their order.
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


class Role(typing.NamedTuple):
    """One of the images."""
    program: str
    arguments: list       # without any of one's own
    title: str
    description: str
    headers: tuple        # one of each library that is compiled in and has no shared library in the image
    speaks_https: bool = False
    environment: tuple = ()  # beside PATH
    for_gpus: bool = False
    licences: str = "Apache-2.0"


ROLES = {
    "operator": Role("muster", ["operator"], "Muster operator",
                     "Operator of TrainingJobs, and the command line of Muster.",
                     ("nlohmann/json.hpp", "CLI/CLI.hpp", "boost/version.hpp"), speaks_https=True),
    "worker": Role("muster-worker", [], "Muster worker", "A member of a TrainingJob, on CPUs.",
                   ("nlohmann/json.hpp", "boost/version.hpp")),
    # The container toolkit of NVIDIA mounts of the driver what this variable names: libcuda and libnvidia-ml.
    "worker-cuda": Role("muster-worker", [], "Muster worker for GPUs", "A member of a TrainingJob, on GPUs or CPUs.",
                        ("nlohmann/json.hpp", "boost/version.hpp"),
                        environment=("NVIDIA_DRIVER_CAPABILITIES=compute,utility",), for_gpus=True,
                        licences="Apache-2.0 AND LicenseRef-NVIDIA-Proprietary"),
}
# What is built when nobody says which: the other one takes half a gigabyte from the package index.
USUAL = ("operator", "worker")
MODULE = "usr/lib/libmuster_cuda.so"  # where /usr/bin/muster-worker looks for it


class Program(typing.NamedTuple):
    path: pathlib.Path
    version: str
    build_id: str


class Gpu(typing.NamedTuple):
    """What an image for GPUs has more: our module, and [(wheel, library, licence)] of NVIDIA's."""
    module: pathlib.Path
    libraries: list


def tool(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True,
                              env={**os.environ, "LC_ALL": "C"}).stdout
    except FileNotFoundError:
        raise Refused(f"{command[0]} is missing: apt-get install binutils libc-bin") from None
    except subprocess.CalledProcessError as error:
        raise Refused(f"{' '.join(map(str, command))} failed: {(error.stderr or error.stdout).strip()}") from None


def find_program(folder, role):
    path = pathlib.Path(folder) / ROLES[role].program
    if not os.access(path, os.X_OK):
        raise Refused(f"there is no program {path}; hack/dev build makes it in build/release/bin")
    said = tool(str(path), "--version")
    match = re.fullmatch(r"\S+ (\S+) \(build ([0-9a-f]+)\)\n", said)
    if not match:
        raise Refused(f"{path} --version said '{said.strip()}', not 'NAME VERSION (build ID)'")
    return Program(path, *match.groups())


def find_gpu(program, module, folder):
    """The module must be of the sources that the program is of, or the worker would refuse it."""
    if not module.is_file():
        raise Refused(f"there is no CUDA module {module}; hack/dev build cuda muster_cuda makes it in build/cuda/lib")
    said = set(re.findall(rb"(?<=\0)[0-9a-f]{16}(?=\0)", module.read_bytes())) - {b"0123456789abcdef"}
    expects = program.path.read_bytes()
    if not any(build in expects for build in said):
        raise Refused(f"{module} is not of the sources that {program.path} is of: build both anew")
    return Gpu(module, wheels.find(folder))


def libraries(program):
    """(path of the loader as the program names it, {name that is looked for: file}) by the loader itself."""
    loader, found = None, {}
    for line in tool("ldd", str(program)).splitlines():
        if match := re.fullmatch(r"\s*(\S+) => (/\S+) \(0x[0-9a-f]+\)", line):
            found[match[1]] = os.path.realpath(match[2])
        elif match := re.fullmatch(r"\s*(\S+) => not found", line):
            raise Refused(f"{program} needs {match[1]}, which is not installed on this machine")
        elif match := re.fullmatch(r"\s*(/\S+) \(0x[0-9a-f]+\)", line):
            loader = match[1]
    for file in found.values():
        if "/glibc-hwcaps/" in file:
            raise Refused(f"{file} is a variant for this machine's processor, which other machines may not have")
    if loader is None or "libc.so.6" not in found:
        raise Refused(f"{program} is no program that is linked with shared libraries: ldd names no loader or no libc")
    return loader, found


def add_libraries(root, program, others=()):
    """All in one folder, which the loader searches by itself; the file and the name that programs ask for. `others`
    are opened at run time; returns the folder."""
    loader, found = libraries(program)
    for other in others:
        found.update(libraries(other)[1])
    real_loader = os.path.realpath(loader)
    owner = debian.owners(sorted({*found.values(), real_loader}))
    folder = os.path.dirname(found["libc.so.6"])
    for name in ("lib", "lib64"):
        if loader.startswith(f"/{name}/") or name == "lib":
            root.folder(f"usr/{name}")
            root.link(name, f"usr/{name}")
    taken = {}
    for name, file in sorted({**found, os.path.basename(loader): real_loader}.items()):
        base = os.path.basename(file)
        if taken.setdefault(base, file) != file:
            raise Refused(f"two libraries are called {base}: {taken[base]} and {file}")
        # The kernel wants the right to execute of the loader alone.
        root.copy(file, f"{folder}/{base}", owner[file], 0o755 if file == real_loader else 0o644)
        if name != base:
            root.link(f"{folder}/{name}", base)
    asked_for = loader if loader.startswith("/usr/") else "/usr" + loader
    if not (root.root / asked_for.lstrip("/")).exists():
        root.link(asked_for, os.path.relpath(f"{folder}/{os.path.basename(real_loader)}", os.path.dirname(asked_for)))
    return folder


def add_gpu(root, gpu, folder):
    root.write_by(lambda here: tool("strip", "--strip-unneeded", "-o", str(here), str(gpu.module)), MODULE, 0o644)
    for wheel, library, licence in gpu.libraries:
        root.copy(library, f"{folder}/{wheel.library}", wheel.name)
        root.copy(licence, f"usr/share/doc/{wheel.name}/copyright", wheel.name)
        root.wheels[wheel.name] = wheel


def add_certificates(root):
    """The distribution's own authorities. Not /etc/ssl/certs, which holds what this machine trusts besides, and not the
    example of an authority that is among the package's documents."""
    files = debian.listed("ca-certificates", "/usr/share/ca-certificates", ".crt")
    if not files:
        raise Refused("the package ca-certificates is not installed: apt-get install ca-certificates")
    bundle = "".join(pathlib.Path(file).read_text().rstrip("\n") + "\n" for file in files)
    root.write("etc/ssl/certs/ca-certificates.crt", bundle, "ca-certificates")
    # Where Debian's OpenSSL looks when it is told nothing.
    root.link("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")
    root.link("usr/lib/ssl/certs", "/etc/ssl/certs")


def add_accounts_and_places(root):
    root.write("etc/passwd", PASSWD)
    root.write("etc/group", GROUP)
    root.write("etc/nsswitch.conf", NSSWITCH)
    for path in ("dev", "proc", "sys", "run", "var"):
        root.folder(path)
    root.link("var/run", "/run")
    root.folder("tmp", 0o1777)
    root.copy("/usr/lib/os-release", "usr/lib/os-release", "base-files")
    root.link("etc/os-release", "../usr/lib/os-release")


def compiled_in(role):
    """The packages of those libraries that are headers alone, so that our program is all there is of them."""
    # Templates of the compiler's own library are such headers too; its shared part may be of another release.
    library = f"c++/{tool('c++', '-dumpversion').strip().partition('.')[0]}/vector"
    files = [f"/usr/include/{header}" for header in (*ROLES[role].headers, library)]
    for file in files:
        if not os.path.exists(file):
            raise Refused(f"{file} is missing, which {ROLES[role].program} was compiled with; "
                          "hack/dev build installs all of them")
    return sorted(set(debian.owners(files).values()))


def add_licences(root, names):
    root.copy(SOURCE / "LICENSE", "usr/share/doc/muster/copyright")
    for name in sorted(names):
        root.copy(debian.copyright_file(name), f"usr/share/doc/{name}/copyright", name)
    # The texts that most of these files refer to by name.
    folder = pathlib.Path("/usr/share/common-licenses")
    for file in sorted(folder.iterdir()):
        if file.is_symlink():
            root.link(str(file), os.readlink(file))
        else:
            root.copy(file, str(file), "base-files")


def collect(role, program, folder, epoch, gpu=None):
    """Fills the folder; returns (Rootfs, names of the packages that are only compiled in)."""
    root = Rootfs(folder)
    add_accounts_and_places(root)
    root.write_by(lambda here: tool("strip", "--strip-unneeded", "-o", str(here), str(program.path)),
                  f"usr/bin/{ROLES[role].program}", 0o755)
    opened = [gpu.module, *(library for _, library, _ in gpu.libraries)] if gpu else []
    place = add_libraries(root, program.path, opened)
    if ROLES[role].speaks_https:
        add_certificates(root)
    inside = compiled_in(role)
    names = {*root.origin.values(), *inside} - {OURS}
    add_licences(root, names)
    if gpu:
        add_gpu(root, gpu, place)
    for name in sorted(set(root.origin.values()) - {OURS, *root.wheels}):
        root.write(f"var/lib/dpkg/status.d/{name}", debian.control(name), name)
    root.settle(epoch)
    return root, inside


def settings(role, program):
    """How the image runs: the `config` of the OCI specification."""
    about = ROLES[role]
    image = "org.opencontainers.image."
    out = {"User": f"{USER}:{USER}", "WorkingDir": "/", "Env": ["PATH=/usr/bin", *about.environment],
           "Entrypoint": [f"/usr/bin/{about.program}"],
           "Labels": {f"{image}title": about.title, f"{image}description": about.description,
                      f"{image}version": program.version, f"{image}licenses": about.licences,
                      "dev.muster.build-id": program.build_id}}
    if about.arguments:
        out["Cmd"] = about.arguments
    return out


def default_file(role, program):
    return SOURCE / "build" / "images" / f"muster-{role}-{program.version}-{architecture()}.tar"
