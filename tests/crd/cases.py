"""Manifests that must be refused, and the field that everybody must name; then good ones.

Each is GOOD with one piece of text replaced. tests/crd/crd_test.py asks operator/api and the API server's own code.
"""

GOOD = """\
apiVersion: muster.dev/v1alpha1
kind: TrainingJob
metadata: {name: licences}
spec:
  workers:
    replicas: 4
    maxReplicas: 8
  program:
    builtin: gpt
    config:
      width: 128
      heads: 4
  training:
    steps: 300
    slots: 64
  data: {path: /data}
  checkpoint:
    keep: 3
  elasticity:
    heartbeatTimeout: 1s
  failurePolicy: {}
  suspend: false
"""

WORKERS = "maxReplicas: 8"
CONFIG = "heads: 4"
TRAINING = "slots: 64"
CHECKPOINT = "keep: 3"
ELASTICITY = "heartbeatTimeout: 1s"
FAILURES = "failurePolicy: {}"
REST = "suspend: false"
BENCH = "builtin: bench\n    config: {stateBytes: 4096}"
GPT = "builtin: gpt\n    config:\n      width: 128\n      heads: 4"


def rules(text):
    return "failurePolicy: {rules: [" + text + "]}"


# (field, text of GOOD, what stands there instead)
BAD = [
    ("apiVersion", "v1alpha1", "v1"),
    ("apiVersion", "apiVersion: muster.dev/v1alpha1\n", ""),
    ("kind", "kind: TrainingJob", "kind: Job"),
    ("kind", "kind: TrainingJob\n", ""),
    ("metadata.name", "name: licences", "name: Licences"),
    ("metadata.name", "name: licences", "name: a-"),
    ("metadata.name", "name: licences", "name: 1a"),
    ("metadata.name", "name: licences", "name: a.b"),
    ("metadata.name", "name: licences", "name: " + "a" * 41),
    ("metadata.name", "name: licences", "name: 12"),
    ("metadata.name", "{name: licences}", "{}"),
    ("metadata", "{name: licences}", "licences"),
    ("metadata.namespace", "name: licences", "name: a, namespace: A_b"),
    ("metadata.namespace", "name: licences", "name: a, namespace: -b"),
    ("metadata.namespace", "name: licences", "name: a, namespace: " + "b" * 64),
    ("metadata.labels", "name: licences", "name: a, labels: {a: 1}"),
    ("metadata.labels", "name: licences", "name: a, labels: [x]"),
    ("metadata.labels", "name: licences", "name: a, labels: {a: not a value}"),
    ("metadata.labels", "name: licences", "name: a, labels: {a: " + "v" * 64 + "}"),
    ("metadata.labels", "name: licences", "name: a, labels: {a/b/c: v}"),
    ("metadata.labels", "name: licences", "name: a, labels: {Muster.dev/a: v}"),
    ("metadata.labels", "name: licences", "name: a, labels: {-a: v}"),
    ("metadata.annotations", "name: licences", "name: a, annotations: {a: true}"),
    ("metadata.annotations", "name: licences", "name: a, annotations: {a..b/c: v}"),
    ("metadata.annotations", "name: licences", "name: a, annotations: {a b: v}"),
    ("metadata.annotations", "name: licences", "name: a, annotations: [x]"),
    ("metadata.nmespace", "name: licences", "name: a, nmespace: b"),
    ("spec.workers.replicas", "replicas: 4", "replicas: 0"),
    ("spec.workers.replicas", "replicas: 4", "replicas: 10001"),
    ("spec.workers.replicas", "replicas: 4", "replicas: four"),
    ("spec.workers.replicas", "replicas: 4", "replicas: \"4\""),
    ("spec.workers.replicas", "replicas: 4", "replicas: 4.5"),
    ("spec.workers.replicas", "replicas: 4", "replicas: [4]"),
    ("spec.workers.replicas", "replicas: 4", "replicas: 99999999999999999999"),
    ("spec.workers.replicas", "    replicas: 4\n", ""),
    ("spec.workers.replicas", "replicas: 4", "replicas:"),
    ("spec.workers.replicas", WORKERS, "replicas: 8"),
    ("spec.workers.minReplicas", WORKERS, "minReplicas: 0"),
    ("spec.workers.minReplicas", WORKERS, "minReplicas: 5"),
    ("spec.workers.maxReplicas", WORKERS, "maxReplicas: 3"),
    ("spec.workers.maxReplicas", WORKERS, "maxReplicas: 10001"),
    ("spec.workers.spares", WORKERS, "spares: -1"),
    ("spec.workers.spares", WORKERS, "spares: 1001"),
    ("spec.workers.processesPerWorker", WORKERS, "processesPerWorker: 65"),
    ("spec.workers.processesPerWorker", WORKERS, "processesPerWorker: 0"),
    ("spec.workers.template", WORKERS, "template: pod"),
    ("spec.workers.template", WORKERS, "template: [a]"),
    ("spec.workers.max_replicas", WORKERS, "max_replicas: 8"),
    ("spec.workers", "workers:\n    replicas: 4\n    maxReplicas: 8", "workers: 4"),
    ("spec.workers", "workers:\n    replicas: 4\n    maxReplicas: 8", "workers:"),
    ("spec.workers", "  workers:\n    replicas: 4\n    maxReplicas: 8\n", ""),
    ("spec.program.builtin", "builtin: gpt", "builtin: bert"),
    ("spec.program.builtin", "    builtin: gpt\n", ""),
    ("spec.program.config", "config:\n      width: 128\n      heads: 4", "config: [a]"),
    ("spec.program.config.width", "width: 128", "width: 130"),
    ("spec.program.config.width", "width: 128", "width: 4"),
    ("spec.program.config.width", "width: 128\n      heads: 4", "heads: 3"),
    ("spec.program.config.heads", CONFIG, "heads: 0"),
    ("spec.program.config.layers", CONFIG, "layers: 1001"),
    ("spec.program.config.context", CONFIG, "context: 0"),
    ("spec.program.config.batch", CONFIG, "batch: 0"),
    ("spec.program.config.vocabulary", CONFIG, "vocabulary: 50257"),
    ("spec.program.config.vocabulary", CONFIG, "vocabulary: 65537"),
    ("spec.program.config.learningRate", CONFIG, "learningRate: 0"),
    ("spec.program.config.learningRate", CONFIG, "learningRate: 10.5"),
    ("spec.program.config.learningRate", CONFIG, "learningRate: fast"),
    ("spec.program.config.warmupSteps", CONFIG, "warmupSteps: -1"),
    ("spec.program.config.weightDecay", CONFIG, "weightDecay: 11"),
    ("spec.program.config.clip", CONFIG, "clip: -1"),
    ("spec.program.config.dropout", CONFIG, "dropout: 1"),
    ("spec.program.config.device", CONFIG, "device: gpu"),
    ("spec.program.config.recompute", CONFIG, "device: cuda\n      recompute: 3"),
    ("spec.program.config.recompute", CONFIG, "recompute: 1"),
    ("spec.program.config.recompute", CONFIG, "device: cpu\n      recompute: 2"),
    ("spec.program.config.matmulTable", CONFIG, "device: cuda\n      matmulTable: 7"),
    ("spec.program.config.matmulTable", CONFIG, "device: cpu\n      matmulTable: /t"),
    ("spec.program.config.matmulTable", CONFIG, "matmulTable: /t"),
    ("spec.program.config.stateBytes", CONFIG, "stateBytes: 4096"),
    ("spec.program.config.stateBytes", GPT, "builtin: bench\n    config: {stateBytes: 11}"),
    ("spec.program.config.slotMilliseconds", CONFIG, "slotMilliseconds: 1"),
    ("spec.program.config.slotMilliseconds", GPT, "builtin: bench\n    config: {slotMilliseconds: -1}"),
    ("spec.program.config.learning_rate", CONFIG, "learning_rate: 1"),
    ("spec.program.weights", CONFIG, "heads: 4\n    weights: /models/gpt2"),
    ("spec.program.weights.path", CONFIG, "heads: 4\n    weights: {path: 7}"),
    ("spec.program.weights.path", CONFIG, "heads: 4\n    weights: {path: /" + "m" * 4096 + "}"),
    ("spec.program.weights.path", GPT, "builtin: bench\n    weights: {path: /models/gpt2}"),
    ("spec.program.weights.file", CONFIG, "heads: 4\n    weights: {file: /models/gpt2}"),
    ("spec.training.steps", "steps: 300", "steps: 0"),
    ("spec.training.steps", "    steps: 300\n", ""),
    ("spec.training.step", "steps: 300", "steps: 300\n    step: 300"),
    ("spec.training.slots", TRAINING, "slots: 0"),
    ("spec.training.slots", TRAINING, "slots: 7"),
    ("spec.training.slots", TRAINING, "slots: 65537"),
    ("spec.training.slots", WORKERS, "maxReplicas: 65"),
    ("spec.training.slots", WORKERS, "processesPerWorker: 17"),
    ("spec.training.reduction", TRAINING, "slots: 64\n    reduction: exact64"),
    ("spec.training.transport", TRAINING, "slots: 64\n    transport: tcp"),
    ("spec.training.evaluateEverySteps", TRAINING, "slots: 64\n    evaluateEverySteps: -1"),
    ("spec.training.seed", TRAINING, "slots: 64\n    seed: 9007199254740992"),
    ("spec.training.seed", TRAINING, "slots: 64\n    seed: -1"),
    ("spec.training.keep", TRAINING, "slots: 64\n    keep: 3"),
    ("spec.data.path", "data: {path: /data}", "data: {}"),
    ("spec.data.path", "  data: {path: /data}\n", ""),
    ("spec.data.path", "data: {path: /data}", "data: {path: null}"),
    ("spec.data.path", "path: /data", "path: 7"),
    ("spec.data.path", "path: /data", "path: /" + "d" * 4096),
    ("spec.data.format", "path: /data", "path: /data, format: csv"),
    ("spec.data", "data: {path: /data}", "data: /data"),
    ("spec.checkpoint.keep", CHECKPOINT, "keep: 0"),
    ("spec.checkpoint.path", CHECKPOINT, "path: [a]"),
    ("spec.checkpoint.everySteps", CHECKPOINT, "everySteps: -5"),
    ("spec.checkpoint.everySeconds", CHECKPOINT, "everySeconds: 1h"),
    ("spec.checkpoint.everySeconds", CHECKPOINT, "everySeconds: 31536001"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: 1"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: 499ms"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: 10m1ns"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: 1 s"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: -1s"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: .5s"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: 1d"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: 9999999999h"),
    ("spec.elasticity.heartbeatTimeout", ELASTICITY, "heartbeatTimeout: " + "1s" * 33),
    ("spec.elasticity.belowMinTimeout", ELASTICITY, "belowMinTimeout: 0s"),
    ("spec.elasticity.lostPodGracePeriod", ELASTICITY, "lostPodGracePeriod: 2h"),
    ("spec.elasticity.lostPodGracePeriod", ELASTICITY, "lostPodGracePeriod: 0"),
    ("spec.elasticity.avoidNodes", ELASTICITY, "avoidNodes: 2"),
    ("spec.elasticity.avoidNodes.failures", ELASTICITY, "avoidNodes: {failures: 0}"),
    ("spec.elasticity.avoidNodes.window", ELASTICITY, "avoidNodes: {window: soon}"),
    ("spec.elasticity.beat", ELASTICITY, "beat: 1s"),
    ("spec.failurePolicy.maxReplacements", FAILURES, "failurePolicy: {maxReplacements: -1}"),
    ("spec.failurePolicy.window", FAILURES, "failurePolicy: {window: 0s}"),
    ("spec.failurePolicy.window", FAILURES, "failurePolicy: {window: 721h}"),
    ("spec.failurePolicy.rules", FAILURES, "failurePolicy: {rules: all}"),
    ("spec.failurePolicy.rules", FAILURES, rules(", ".join(["{action: Ignore}"] * 21))),
    ("spec.failurePolicy.rules[0]", FAILURES, rules("FailJob")),
    ("spec.failurePolicy.rules[0].action", FAILURES, rules("{action: Retry}")),
    ("spec.failurePolicy.rules[0].action", FAILURES, rules("{exitCodes: [1]}")),
    ("spec.failurePolicy.rules[0].action", FAILURES, rules("{action: null}")),
    ("spec.failurePolicy.rules[1].exitCodes", FAILURES, rules("{action: Ignore}, {action: Ignore, exitCodes: [256]}")),
    ("spec.failurePolicy.rules[0].exitCodes", FAILURES, rules("{action: Ignore, exitCodes: 1}")),
    ("spec.failurePolicy.rules[0].exitCodes", FAILURES,
     rules("{action: Ignore, exitCodes: [" + ", ".join(["1"] * 257) + "]}")),
    ("spec.failurePolicy.rules[0].podCondition", FAILURES, rules("{action: Ignore, podCondition: 1}")),
    ("spec.failurePolicy.rules[0].podCondition", FAILURES,
     rules("{action: Ignore, podCondition: " + "c" * 317 + "}")),
    ("spec.failurePolicy.rules[0].exitCode", FAILURES, rules("{action: Ignore, exitCode: [1]}")),
    ("spec.suspend", REST, "suspend: 1"),
    ("spec.suspend", REST, "suspend: \"true\""),
    ("spec.managedBy", REST, "managedBy: true"),
    ("spec.managedBy", REST, "managedBy: " + "m" * 64),
    ("spec.activeDeadlineSeconds", REST, "activeDeadlineSeconds: 0"),
    ("spec.activeDeadlineSeconds", REST, "activeDeadlineSeconds: 1h"),
    ("spec.ttlSecondsAfterFinished", REST, "ttlSecondsAfterFinished: -1"),
    ("spec.zebra", REST, "zebra: 1"),
    ("spec", GOOD[GOOD.index("spec:"):], "spec: 1\n"),
    ("spec", GOOD[GOOD.index("spec:"):], ""),
    ("specs", "spec:\n", "specs: {}\nspec:\n"),
]

# What is gpt's does not belong to a bench.
BAD += [(f"spec.program.config.{name}", GPT, f"builtin: bench\n    config: {{{name}: {value}}}")
        for name, value in [("layers", 4), ("heads", 4), ("width", 128), ("context", 128), ("batch", 1),
                            ("vocabulary", 256), ("learningRate", 0.001), ("warmupSteps", 20), ("weightDecay", 0.1),
                            ("clip", 1), ("dropout", 0), ("device", "cpu"), ("recompute", 0), ("matmulTable", '""')]]

# muster validate wants one spelling; YAML 1.1, which kubectl reads, has more. Everybody must keep telling them apart.
SPELLING = [
    ("spec.workers.replicas", "replicas: 4", "replicas: 4.0"),
    ("spec.workers.replicas", "replicas: 4", "replicas: 0x4"),
    ("spec.workers.replicas", "replicas: 4", "replicas: 04"),
    ("spec.training.steps", "steps: 300", "steps: 1e3"),
    ("spec.training.steps", "steps: 300", "steps: 1_000"),
    ("spec.suspend", REST, "suspend: yes"),
    ("spec.suspend", REST, "suspend: off"),
]

FINE = [
    ("nothing changed", REST, REST),
    ("namespace with a digit first", "name: licences", "name: a, namespace: 1team"),
    ("longest name", "name: licences", "name: " + "a" * 40),
    ("labels and annotations", "name: licences", "name: a, labels: {a.b-c/D_1.e: F.g, e: ''}, annotations: {D.x/E: \"any text!\"}"),
    ("null stands for not set", WORKERS, "maxReplicas: null\n    minReplicas: null\n    template: null"),
    ("null groups", FAILURES, "failurePolicy: null"),
    ("null in rules", FAILURES, rules("{action: Ignore, exitCodes: null, podCondition: null}")),
    ("null timeouts", ELASTICITY, "belowMinTimeout: null\n    avoidNodes: null"),
    ("null deadlines", REST, "activeDeadlineSeconds: null\n  ttlSecondsAfterFinished: null"),
    ("null settings", CONFIG, "heads: null\n      learningRate: null\n      stateBytes: null"),
    ("a template", WORKERS, "template: {spec: {containers: [{name: worker, image: w, resources: {limits: {cpu: 2}}}]}}"),
    ("durations", ELASTICITY, "heartbeatTimeout: 1m30.5s\n    belowMinTimeout: 720h\n    lostPodGracePeriod: \"0\""),
    ("microseconds", ELASTICITY, "heartbeatTimeout: 500000us\n    belowMinTimeout: 1000000\u00b5s"),
    ("longest path, not in ASCII", "path: /data", "path: /" + "\u00e4" * 4095),
    ("whole numbers where fractions may be", CONFIG, "learningRate: 1\n      clip: 0\n      dropout: 0"),
    ("settings of CUDA", CONFIG, "device: cuda\n      recompute: 2\n      matmulTable: /t"),
    ("no settings of CUDA", CONFIG, "device: cpu\n      recompute: 0\n      matmulTable: \"\""),
    ("weights of others", CONFIG, "heads: 4\n    weights: {path: /models/gpt2}"),
    ("no weights of others", GPT, "builtin: bench\n    weights: {path: \"\"}"),
    ("null weights", CONFIG, "heads: 4\n    weights: null"),
    ("other tokens", "data: {path: /data}", "data: {path: /data, format: llmc}"),
    ("a bench with no data", GPT, BENCH),
    ("bench settings", GPT, "builtin: bench\n    config: {stateBytes: 1099511627776, slotMilliseconds: 0.5}"),
    ("all rules", FAILURES, rules(", ".join(["{action: Ignore, exitCodes: [0, 255], podCondition: X}"] * 20))),
    ("a status is not the manifest's", "spec:\n", "status: {state: Running}\nspec:\n"),
    ("largest seed", TRAINING, "slots: 64\n    seed: 9007199254740991"),
]


def edited(before, after):
    if before not in GOOD:
        raise ValueError(f"{before!r} is not in the good manifest")
    return GOOD.replace(before, after, 1)
