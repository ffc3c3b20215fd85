"""What a cluster could leave behind on a machine, read so that two moments can be compared."""

import os
import pathlib
import re
import subprocess

from cluster_harness import STATE

LOCK = "muster-cluster"
FOLDERS = ("/run", "/run/lock", "/run/netns", "/var/lib", "/var/log", "/etc/cni", "/opt/cni", "/var/run")
# Settings that a node's kubelet, kube-proxy or network could change; the rest of sysctl counts things.
SETTINGS = re.compile(r"(vm|net\.bridge|net\.netfilter|fs\.inotify|net\.ipv4\.(ip_forward|conf\.all\.|conf\.default\.))"
                      r"|kernel\.(panic|keys|pid_max|threads)")
COUNTERS = re.compile(r"net\.netfilter\.nf_conntrack_(count|max|buckets|expect_max)|vm\.(stat_refresh|drop_caches)")


def lines(*command):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.splitlines()


def processes():
    """Command lines of all that belongs to a cluster: by its cgroup, or by the state folder among its arguments."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            groups = (folder / "cgroup").read_text()
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state in "ZX":
            continue
        if re.search(r":/muster(/|$)", groups, re.MULTILINE) or str(STATE) in words or "cluster/node-init" in words:
            found.append(f"{folder.name} {words}")
    return found


def mounts():
    return [" ".join(line.split()[3:5]) for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]


def control_groups():
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if "muster" in path]


def settings():
    found = {}
    for line in lines("sysctl", "-a"):
        name, _, value = line.partition(" = ")
        if SETTINGS.match(name) and not COUNTERS.match(name):
            found[name] = value
    return found


def snapshot():
    """{kind: sorted list}; settings are a dictionary."""
    ruleset = [line for line in lines("nft", "list", "ruleset") if line.strip()]
    return {
        "processes": sorted(processes()),
        "links": sorted(re.sub(r"^\d+: ([^:@]+).*", r"\1", line) for line in lines("ip", "-o", "link")),
        "addresses": sorted(" ".join(line.split()[1:4]) for line in lines("ip", "-o", "addr")),
        "routes": sorted(line.strip() for line in lines("ip", "route", "show", "table", "all")),
        "namespaces": sorted(lines("ip", "netns", "list")),
        "mounts": sorted(mounts()),
        "cgroups": sorted(control_groups()),
        "nftables": ruleset,
        "folders": sorted(f"{folder}/{name}" for folder in FOLDERS if os.path.isdir(folder)
                          for name in os.listdir(folder) if name != LOCK),
        "settings": settings(),
    }


def differences(before, after):
    """Sentences; a setting that a kernel module brought with it is none."""
    found = []
    for kind, then in before.items():
        now = after[kind]
        if kind == "settings":
            found += [f"the setting {name} was {then[name]} and is {now.get(name)}"
                      for name in then if now.get(name) != then[name]]
            continue
        found += [f"{kind}: new: {each}" for each in now if each not in then]
        if kind != "processes":  # others may end theirs
            found += [f"{kind}: gone: {each}" for each in then if each not in now]
    return found
