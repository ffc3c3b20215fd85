"""A control plane without nodes (hack/cluster up 0) with an audit log, fake kubelets and operators beside it.

What the operator asked for is read from the API server's own audit log: each of its writes with its body and the
times at which it came and was answered.
"""

import base64
import datetime
import json
import os
import pathlib
import signal
import ssl
import subprocess
import http.client
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("MUSTER_CACHE", pathlib.Path.home() / ".cache" / "muster"))
STATE = pathlib.Path(os.environ.get("MUSTER_CLUSTER_STATE", CACHE / "cluster" / "bench"))
SYSTEM, ACCOUNT = "muster-system", "muster"
USER = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/muster-operator"
POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
          "rules": [{"level": "Request", "users": [USER], "verbs": ["create", "patch", "update", "delete"]},
                    {"level": "Metadata", "verbs": ["create"],
                     "resources": [{"group": "muster.dev", "resources": ["trainingjobs"]}]},
                    {"level": "None"}]}


def stamp(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def wait_until(condition, seconds, what, every=0.02):
    """What the condition gave, and the seconds it took."""
    began = time.monotonic()
    while True:
        given = condition()
        if given:
            return given, time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(every)


class ControlPlane:
    """Started by `with`, and taken down at its end."""

    def __init__(self, folder):
        self.folder = folder
        self.kubelets = None
        self.operators = []

    def cluster(self, *arguments, check=True):
        subprocess.run([str(ROOT / "hack/cluster"), *arguments], check=check, stdout=subprocess.DEVNULL,
                       env={**os.environ, "MUSTER_CLUSTER_STATE": str(STATE), "MUSTER_CLUSTER_TIMING": "default"})

    def __enter__(self):
        self.cluster("up", "0")
        try:
            (STATE / "audit.yaml").write_text(json.dumps(POLICY))
            self.cluster("stop", "kube-apiserver")
            self.cluster("start", "kube-apiserver")
            self.find()
            wait_until(lambda: self.kubectl("get", "--raw=/readyz", check=False).startswith("ok"), 60, "the API server")
            for file in ("crds/muster.dev_trainingjobs.yaml", "helm/install.yaml"):
                self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / file))
            self.kubectl("-n", SYSTEM, "delete", "deployment", "muster")
            self.make_identities()
        except BaseException:
            self.cluster("down", check=False)
            raise
        return self

    def __exit__(self, *error):
        for process in [*self.operators, *([self.kubelets] if self.kubelets else [])]:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.cluster("down")

    def find(self):
        exports = subprocess.run([str(ROOT / "hack/cluster"), "env"], check=True, text=True, stdout=subprocess.PIPE,
                                 env={**os.environ, "MUSTER_CLUSTER_STATE": str(STATE)}).stdout.split()
        self.program = exports[2].removeprefix("PATH=").removesuffix(":$PATH") + "/kubectl"
        self.config = exports[1].removeprefix("KUBECONFIG=")

    def kubectl(self, *arguments, check=True, stdin=None):
        done = subprocess.run([self.program, f"--kubeconfig={self.config}", *arguments], text=True, input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        if check and done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stdout}")
        return done.stdout

    def make_identities(self):
        """Files with the administrator's certificate, and a kubeconfig with the operator's own account."""
        view = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        cluster, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
        self.server = cluster["server"]
        for name, source in (("ca", cluster["certificate-authority-data"]), ("cert", user["client-certificate-data"]),
                             ("key", user["client-key-data"])):
            (self.folder / name).write_bytes(base64.b64decode(source))
        token = self.kubectl("-n", SYSTEM, "create", "token", ACCOUNT, "--duration=10h").strip()
        (self.folder / "token").write_text(token)
        view["users"][0]["user"] = {"token": token}
        self.operator_config = self.folder / "operator.kubeconfig"
        self.operator_config.write_text(json.dumps(view))
        self.load = subprocess.run([str(ROOT / "hack/lib/load.sh")], check=True, text=True,
                                   stdout=subprocess.PIPE).stdout.strip()
        context = ssl.create_default_context(cafile=str(self.folder / "ca"))
        context.load_cert_chain(str(self.folder / "cert"), str(self.folder / "key"))
        self.connection = http.client.HTTPSConnection(self.server.removeprefix("https://"), context=context, timeout=60)
        self.asked_at = time.monotonic()

    def ask(self, method, path, body=None):
        """As the administrator, on one connection: the answer, decoded."""
        # The server closes a connection that nobody has used for 90 s.
        if time.monotonic() - self.asked_at > 60:
            self.connection.close()
        self.asked_at = time.monotonic()
        self.connection.request(method, path, None if body is None else json.dumps(body),
                                {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.get('message')}")
        return answer

    def start_kubelets(self, nodes):
        command = [self.load, self.server, *(str(self.folder / each) for each in ("ca", "cert", "key")), "kubelets",
                   str(nodes)]
        self.kubelets = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                         stderr=(self.folder / "kubelets.log").open("w"))
        if self.kubelets.stdout.readline() != "ready\n":
            raise RuntimeError("the fake kubelets did not start: " + (self.folder / "kubelets.log").read_text())

    def send(self, requests, connections):
        """The requests as a bare loop, with the operator's identity: {seconds, answers}."""
        file = self.folder / "requests"
        with file.open("w") as out:
            for each in requests:
                out.write(json.dumps(each) + "\n")
        done = subprocess.run([self.load, self.server, str(self.folder / "ca"), str(self.folder / "token"), "", "send",
                               str(file), str(connections)], check=True, text=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    def count_pods(self, space):
        answer = self.ask("GET", f"/api/v1/namespaces/{space}/pods?limit=1")
        return len(answer["items"]) + answer["metadata"].get("remainingItemCount", 0)

    def holder(self):
        try:
            return self.ask("GET", LEASE)["spec"].get("holderIdentity") or ""
        except RuntimeError:
            return ""

    def mark(self):
        return (STATE / "log/audit.log").stat().st_size

    def audit(self, since, until=None):
        """What was written between two marks, as the API server logged it."""
        with (STATE / "log/audit.log").open("rb") as log:
            log.seek(since)
            text = log.read() if until is None else log.read(until - since)
        return [json.loads(line) for line in text.splitlines()]


class Operator:
    """`muster operator` on this machine, with the rights of its service account."""

    def __init__(self, plane, programs, number=0):
        self.plane, self.metrics = plane, 18080 + number
        self.log = (plane.folder / f"operator-{number}.log").open("a")
        command = [str(programs / "muster"), "operator", f"--kubeconfig={plane.operator_config}",
                   f"--namespace={SYSTEM}", f"--membership-address=127.0.0.1:{17420 + number}",
                   f"--advertise=127.0.0.1:{17420 + number}", f"--metrics-address=127.0.0.1:{self.metrics}",
                   "--worker-image=none", "--log-format=json"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        plane.operators.append(self.process)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            if self.process.poll() is not None:
                raise RuntimeError(f"the operator has ended: {self.log.name}") from None
            return False

    def wait_ready(self, seconds=60):
        """Seconds since its start."""
        wait_until(self.ready, seconds, "the operator is ready", every=0.005)
        return time.monotonic() - self.began

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """MiB: what is resident now and what was at most, of which anonymous now."""
        fields = {}
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            fields[name] = value
        return {name: int(fields[key].split()[0]) / 1024
                for name, key in (("resident", "VmRSS"), ("peak", "VmHWM"), ("anonymous", "RssAnon"))}

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(30)
        self.log.close()
