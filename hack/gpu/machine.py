"""What this machine has of what a GPU run takes, and what somebody needs to know to compare its figures."""

import ctypes
import glob
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

QUERY = ("name", "driver_version", "memory.total", "clocks.max.sm", "clocks.sm", "power.limit", "mig.mode.current",
         "ecc.mode.current")


def said(command, seconds=20):
    """The output of a command, or None where there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def gpus():
    """What nvidia-smi says of each GPU; an empty list where it is not there."""
    for fields in (QUERY, QUERY[:3]):  # an older one knows fewer
        text = said(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"])
        if text:
            return [dict(zip(fields, (field.strip() for field in line.split(",")))) for line in text.splitlines()]
    return []


def used_mib():
    text = said(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"])
    return int(text.splitlines()[0]) if text and text.splitlines()[0].strip().isdigit() else None


def virtual():
    """Whether this is a virtual machine, and how that was seen."""
    signs = []
    detected = said(["systemd-detect-virt"])
    if detected and detected != "none":
        signs.append(f"systemd-detect-virt: {detected}")
    if "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text(errors="replace"):
        signs.append("/proc/cpuinfo has the flag hypervisor")
    for name in ("sys_vendor", "product_name"):
        path = pathlib.Path("/sys/class/dmi/id", name)
        if path.exists():
            signs.append(f"{name}: {path.read_text(errors='replace').strip()}")
    version = pathlib.Path("/proc/version").read_text(errors="replace").strip()
    if "gvisor" in version.lower():
        signs.append(f"kernel: {version}")
    return "; ".join(signs) or "no sign of it"


def python_with_torch():
    """(python, {"torch": version, ...}), or (None, why there is none)."""
    ask = ("import json, torch; print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda,"
           " 'gpu': torch.cuda.is_available(), 'cudnn': torch.backends.cudnn.version()}))")
    tried = []
    for python in dict.fromkeys([os.environ.get("MUSTER_TORCH_PYTHON"), sys.executable, shutil.which("python3"),
                                 *sorted(glob.glob("/opt/*/bin/python3"))]):
        if not python:
            continue
        text = said([python, "-c", ask], 120)
        if text:
            return python, json.loads(text.splitlines()[-1])
        tried.append(python)
    return None, f"no PyTorch: none of {', '.join(tried)} can import torch"


def site_folders(python):
    text = said([python or sys.executable, "-c", "import site, sys; print('\\n'.join([*site.getsitepackages(), *sys.path]))"])
    return [pathlib.Path(line) for line in dict.fromkeys((text or "").splitlines()) if line]


def find_library(soname, variable, python, *inside):
    """The path of a library: what a variable names, what the loader finds, a Python package's, a CUDA installation's."""
    named = os.environ.get(variable)
    if named:
        return named
    try:
        ctypes.CDLL(soname)
        return soname
    except OSError:
        pass
    for folder in site_folders(python):
        for path in inside:
            found = sorted(folder.glob(path))
            if found:
                return str(found[0])
    found = sorted(glob.glob(f"/usr/local/cuda*/lib64/{soname}") + glob.glob(f"/usr/lib/x86_64-linux-gnu/{soname}"))
    return found[-1] if found else None


def libraries(python):
    return {
        "MUSTER_NCCL_LIB": find_library("libnccl.so.2", "MUSTER_NCCL_LIB", python, "nvidia/nccl/lib/libnccl.so.2"),
        "MUSTER_CUBLASLT_LIB": find_library("libcublasLt.so.13", "MUSTER_CUBLASLT_LIB", python,
                                            "nvidia/cu13/lib/libcublasLt.so.13", "nvidia/cublas/lib/libcublasLt.so.13"),
        "MUSTER_CUDNN_LIB": find_library("libcudnn.so.9", "MUSTER_CUDNN_LIB", python, "nvidia/cudnn/lib/libcudnn.so.9"),
    }


def nccl_version(path):
    if path is None:
        return None
    try:
        version = ctypes.c_int()
        ctypes.CDLL(path).ncclGetVersion(ctypes.byref(version))
    except (OSError, AttributeError) as error:
        return f"cannot be asked: {error}"
    return f"{version.value // 10000}.{version.value // 100 % 100}.{version.value % 100}"


def about(command, stand_in, torch, found):
    """The head of every result."""
    head = {"command": command, "figures": "of a stand-in: of no GPU, and worth nothing" if stand_in else "of this machine",
            "gpus": gpus() or "nvidia-smi shows none", "virtual": virtual(), "cpu": cpu_model(), "cores": os.cpu_count(),
            "kernel": platform.release(), "libc": "-".join(platform.libc_ver()), "python": platform.python_version(),
            "loadAverage": [round(load, 1) for load in os.getloadavg()], "torch": torch,
            "ncclVersion": nccl_version(found["MUSTER_NCCL_LIB"])}
    return {**head, **found}


def cpu_model():
    lines = pathlib.Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
