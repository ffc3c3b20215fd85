// Every field and every rule of the manifest, broken once: line, field, value and what is allowed.
#include <gtest/gtest.h>

#include <set>

#include "operator/api/schema.h"
#include "operator/cli/manifest.h"
#include "tests/operator/cli/good_manifest.h"

namespace muster::cli {
namespace {

struct Bad {
  const char* from;
  const char* to;
  const char* line;  // the one error that it makes, as it is printed
};

const Bad kBad[] = {
    // Who it is.
    {"v1alpha1", "v1", "f:1: apiVersion: muster.dev/v1 is not allowed: muster.dev/v1alpha1"},
    {"kind: TrainingJob", "kind: Job", "f:2: kind: Job is not allowed: TrainingJob"},
    {"kind: TrainingJob\n", "", "f:1: kind: is missing: TrainingJob"},
    {"name: licences", "name: Licences",
     "f:3: metadata.name: Licences is not allowed: at most 40 lower-case letters, digits and '-', "
     "a "
     "letter first and no '-' at the end"},
    {"name: licences", "name: a-", "f:3: metadata.name: a- is not allowed: at most 40*"},
    {"name: licences", "name: 1a", "f:3: metadata.name: 1a is not allowed: at most 40*"},
    {"name: licences", "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "f:3: metadata.name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is not allowed: at most 40*"},
    {"name: licences", "name: 12",
     "f:3: metadata.name: 12 is not allowed: a text; put it in quotes"},
    {"{name: licences}", "{}", "f:3: metadata.name: is missing: at most 40*"},
    {"{name: licences}", "licences", "f:3: metadata: licences is not allowed: a map of fields"},
    {"name: licences", "name: a, namespace: A_b",
     "f:3: metadata.namespace: A_b is not allowed: at most 63*"},
    {"name: licences", "name: a, labels: {a: 1}",
     "f:3: metadata.labels.a: 1 is not allowed: a text; put it in quotes"},
    {"name: licences", "name: a, labels: {a: not a value}",
     "f:3: metadata.labels.a: not a value is not allowed: empty, or at most 63 letters, digits*"},
    {"name: licences", "name: a, labels: {Muster.dev/a: v}",
     "f:3: metadata.labels.Muster.dev/a: the key Muster.dev/a is not allowed: a name of at most*"},
    {"name: licences", "name: a, annotations: [x]",
     "f:3: metadata.annotations: a list is not allowed: a map from text to text"},
    {"name: licences", "name: a, nmespace: b",
     "f:3: metadata.nmespace: unknown field metadata.nmespace; did you mean namespace?"},
    // Workers.
    {"replicas: 4", "replicas: 0",
     "f:6: spec.workers.replicas: 0 is not allowed: an integer from 1 to 10000"},
    {"replicas: 4", "replicas: four",
     "f:6: spec.workers.replicas: four is not allowed: an integer from 1 to 10000"},
    {"replicas: 4", "replicas: \"4\"",
     "f:6: spec.workers.replicas: \"4\" is not allowed: an integer from 1 to 10000"},
    {"replicas: 4", "replicas: 4.0", "f:6: spec.workers.replicas: 4.0 is not allowed: an integer*"},
    // Eight to kubectl, ten to others.
    {"replicas: 4", "replicas: 010", "f:6: spec.workers.replicas: 010 is not allowed: an integer*"},
    {"replicas: 4", "replicas: [4]", "f:6: spec.workers.replicas: a list is not allowed: an int*"},
    {"replicas: 4", "replicas: 99999999999999999999",
     "f:6: spec.workers.replicas: 99999999999999999999 is not allowed: an integer from 1 to 10000"},
    {"    replicas: 4\n", "", "f:6: spec.workers.replicas: is missing: an integer from 1 to 10000"},
    {"replicas: 4", "replicas:", "f:6: spec.workers.replicas: is missing: an integer from 1*"},
    {"replicas: 4", "replicas: 4\n    minReplicas: 0",
     "f:7: spec.workers.minReplicas: 0 is not allowed: an integer from 1 to 10000"},
    {"replicas: 4", "replicas: 4\n    minReplicas: 5",
     "f:7: spec.workers.minReplicas: 5 is not allowed: at most replicas, which is 4"},
    {"maxReplicas: 8", "maxReplicas: 3",
     "f:7: spec.workers.maxReplicas: 3 is not allowed: at least replicas, which is 4"},
    {"maxReplicas: 8", "maxReplicas: 10001",
     "f:7: spec.workers.maxReplicas: 10001 is not allowed: an integer from 1 to 10000"},
    {"maxReplicas: 8", "spares: -1",
     "f:7: spec.workers.spares: -1 is not allowed: an integer from 0 to 1000"},
    {"maxReplicas: 8", "processesPerWorker: 65",
     "f:7: spec.workers.processesPerWorker: 65 is not allowed: an integer from 1 to 64"},
    {"maxReplicas: 8", "template: pod",
     "f:7: spec.workers.template: pod is not allowed: a map of fields"},
    {"maxReplicas: 8", "max_replicas: 8",
     "f:7: spec.workers.max_replicas: unknown field spec.workers.max_replicas; did you mean "
     "maxReplicas?"},
    {"maxReplicas: 8", "replicas: 8", "f:7: spec.workers.replicas: is given twice"},
    {"maxReplicas: 8", "maxReplicas: 65",
     "f:15: spec.training.slots: 64 is not allowed: at least 65 (maxReplicas x "
     "processesPerWorker), so that every member has one"},
    {"maxReplicas: 8", "processesPerWorker: 17",
     "f:15: spec.training.slots: 64 is not allowed: at "
     "least 68 (maxReplicas x processesPerWorker), so that every member has one"},
    // Program.
    {"builtin: gpt", "builtin: bert",
     "f:9: spec.program.builtin: bert is not allowed: one of gpt and bench"},
    {"    builtin: gpt\n", "", "f:9: spec.program.builtin: is missing: one of gpt and bench"},
    {"width: 128", "width: 130",
     "f:11: spec.program.config.width: 130 is not allowed: a multiple of heads, which is 4"},
    {"width: 128", "width: 4",
     "f:11: spec.program.config.width: 4 is not allowed: an integer from "
     "8 to 16384"},
    {"heads: 4", "heads: 0",
     "f:12: spec.program.config.heads: 0 is not allowed: an integer from 1 to 1024"},
    {"heads: 4", "layers: 1001",
     "f:12: spec.program.config.layers: 1001 is not allowed: an integer from 1 to 1000"},
    {"heads: 4", "context: 0",
     "f:12: spec.program.config.context: 0 is not allowed: an integer from 1 to 65536"},
    {"heads: 4", "batch: 0",
     "f:12: spec.program.config.batch: 0 is not allowed: an integer from 1 to 4096"},
    {"heads: 4", "vocabulary: 50257",
     "f:12: spec.program.config.vocabulary: 50257 is not allowed: 256 with data.format text, where "
     "each byte is a token"},
    {"heads: 4", "vocabulary: 65537",
     "f:12: spec.program.config.vocabulary: 65537 is not allowed: an integer from 2 to 65536"},
    {"heads: 4", "learningRate: 0",
     "f:12: spec.program.config.learningRate: 0 is not allowed: a number above 0 to 10"},
    {"heads: 4", "learningRate: fast",
     "f:12: spec.program.config.learningRate: fast is not allowed: a number above 0 to 10"},
    {"heads: 4", "learningRate: .nan",
     "f:12: spec.program.config.learningRate: .nan is not allow*"},
    {"heads: 4", "warmupSteps: -1",
     "f:12: spec.program.config.warmupSteps: -1 is not allowed: an integer from 0 to 1000000"},
    {"heads: 4", "weightDecay: 11",
     "f:12: spec.program.config.weightDecay: 11 is not allowed: a number from 0 to 10"},
    {"heads: 4", "clip: -1", "f:12: spec.program.config.clip: -1 is not allowed: a number from 0*"},
    {"heads: 4", "dropout: 1",
     "f:12: spec.program.config.dropout: 1 is not allowed: a number from 0 to below 1"},
    {"heads: 4", "stateBytes: 4096",
     "f:12: spec.program.config.stateBytes: does not belong to program gpt, which knows layers, "
     "heads, width, context, batch, vocabulary, learningRate, warmupSteps, weightDecay, clip, "
     "dropout, device, recompute, matmulTable"},
    {"heads: 4", "device: gpu",
     "f:12: spec.program.config.device: gpu is not allowed: one of auto, cpu and cuda"},
    {"heads: 4", "device: cuda\n      recompute: 3",
     "f:13: spec.program.config.recompute: 3 is not allowed: an integer from 0 to 2"},
    {"heads: 4", "recompute: 1",
     "f:12: spec.program.config.recompute: 1 is not allowed: 0 where device is auto; with device "
     "cuda 0 to 2"},
    {"heads: 4", "device: cuda\n      matmulTable: 7",
     "f:13: spec.program.config.matmulTable: 7 is not allowed: a text; put it in quotes"},
    {"heads: 4", "device: cpu\n      matmulTable: /t",
     "f:13: spec.program.config.matmulTable: /t is not allowed: empty where device is cpu; with "
     "device cuda a file"},
    {"heads: 4", "stateBytes: 11",
     "f:12: spec.program.config.stateBytes: 11 is not allowed: an integer from 12 to "
     "1099511627776*"},
    {"heads: 4", "slotMilliseconds: -1",
     "f:12: spec.program.config.slotMilliseconds: -1 is not allowed: a number from 0 to 60000*"},
    {"builtin: gpt\n    config:\n      width: 128\n      heads: 4",
     "builtin: bench\n    config:\n      stateBytes: 4096\n      heads: 4",
     "f:12: spec.program.config.heads: does not belong to program bench, which knows stateBytes, "
     "slotMilliseconds"},
    {"heads: 4", "learning_rate: 1",
     "f:12: spec.program.config.learning_rate: unknown field spec.program.config.learning_rate; "
     "did you mean learningRate?"},
    {"heads: 4", "heads: 4\n    weights: {path: 7}",
     "f:13: spec.program.weights.path: 7 is not allowed: a text; put it in quotes"},
    {"heads: 4", "heads: 4\n    weights: /models/gpt2",
     "f:13: spec.program.weights: /models/gpt2 is not allowed: a map of fields"},
    {"heads: 4", "heads: 4\n    weights: {file: /models/gpt2}",
     "f:13: spec.program.weights.file: unknown field spec.program.weights.file; known here: path"},
    {"builtin: gpt\n    config:\n      width: 128\n      heads: 4",
     "builtin: bench\n    weights: {path: /models/gpt2}",
     "f:10: spec.program.weights.path: does not belong to program bench: program gpt alone can "
     "start from weights that others have saved"},
    // Training.
    {"steps: 300", "steps: 0",
     "f:14: spec.training.steps: 0 is not allowed: an integer from 1 to 1000000000"},
    {"steps: 300", "step: 300",
     "f:14: spec.training.step: unknown field spec.training.step; did you mean steps?*"},
    {"slots: 64", "slots: 0",
     "f:15: spec.training.slots: 0 is not allowed: an integer from 1 to 65536"},
    {"slots: 64", "slots: 7",
     "f:15: spec.training.slots: 7 is not allowed: at least 8 (maxReplicas x processesPerWorker), "
     "so that every member has one"},
    {"slots: 64", "slots: 64\n    reduction: exact64",
     "f:16: spec.training.reduction: exact64 is not allowed: one of Exact64, Exact32 and Float"},
    {"slots: 64", "slots: 64\n    transport: tcp",
     "f:16: spec.training.transport: tcp is not allowed: one of auto, ring and nccl"},
    {"slots: 64", "slots: 64\n    evaluateEverySteps: -1",
     "f:16: spec.training.evaluateEverySteps: -1 is not allowed: an integer from 0 to 1000000000"},
    {"slots: 64", "slots: 64\n    seed: 9007199254740992",
     "f:16: spec.training.seed: 9007199254740992 is not allowed: an integer from 0 to "
     "9007199254740991"},
    {"slots: 64", "slots: 64\n    keep: 3",
     "f:16: spec.training.keep: unknown field spec.training.keep; did you mean "
     "spec.checkpoint.keep?"},
    // Data and checkpoint.
    {"data: {path: /data}", "data: {}",
     "f:16: spec.data.path: is missing, and program gpt needs it: a file or a directory to train "
     "on"},
    {"  data: {path: /data}\n", "", "f:4: spec.data.path: is missing, and program gpt needs it: *"},
    {"path: /data", "path: 7", "f:16: spec.data.path: 7 is not allowed: a text; put it in quotes"},
    {"path: /data", "path: /data, format: csv",
     "f:16: spec.data.format: csv is not allowed: one of text, llmc and tokens16"},
    {"keep: 3", "keep: 0",
     "f:18: spec.checkpoint.keep: 0 is not allowed: an integer from 1 to 1000 (the newest one is "
     "what the job goes back to when all members are lost)"},
    {"keep: 3", "path: [a]",
     "f:18: spec.checkpoint.path: a list is not allowed: a text of at most "
     "4096 characters"},
    {"keep: 3", "everySteps: -5",
     "f:18: spec.checkpoint.everySteps: -5 is not allowed: an integer from 0 to 1000000000"},
    {"keep: 3", "everySeconds: 1h",
     "f:18: spec.checkpoint.everySeconds: 1h is not allowed: an integer from 0 to 31536000"},
    // Elasticity and failures.
    {"heartbeatTimeout: 1s", "heartbeatTimeout: 1",
     "f:20: spec.elasticity.heartbeatTimeout: 1 is not allowed: a duration from 500ms to 10m, such "
     "as 500ms, 1s or 1h30m"},
    {"heartbeatTimeout: 1s", "heartbeatTimeout: 499ms",
     "f:20: spec.elasticity.heartbeatTimeout: 499ms is not allowed: a duration from 500ms*"},
    {"heartbeatTimeout: 1s", "belowMinTimeout: 0s",
     "f:20: spec.elasticity.belowMinTimeout: 0s is not allowed: a duration from 1s to 720h, such "
     "as 500ms, 1s or 1h30m, or null"},
    {"heartbeatTimeout: 1s", "lostPodGracePeriod: 2h",
     "f:20: spec.elasticity.lostPodGracePeriod: 2h is not allowed: a duration from 0s to 1h*"},
    // A number to an API server, so no duration.
    {"heartbeatTimeout: 1s", "lostPodGracePeriod: 0",
     "f:20: spec.elasticity.lostPodGracePeriod: 0 is not allowed: a duration from 0s to 1h*"},
    {"heartbeatTimeout: 1s", "avoidNodes: 2",
     "f:20: spec.elasticity.avoidNodes: 2 is not allowed: a map of fields"},
    {"heartbeatTimeout: 1s", "avoidNodes: {failures: 0}",
     "f:20: spec.elasticity.avoidNodes.failures: 0 is not allowed: an integer from 1 to 1000"},
    {"heartbeatTimeout: 1s", "avoidNodes: {window: soon}",
     "f:20: spec.elasticity.avoidNodes.window: soon is not allowed: a duration from 1s to 720h*"},
    {"failurePolicy: {}", "failurePolicy: {maxReplacements: -1}",
     "f:21: spec.failurePolicy.maxReplacements: -1 is not allowed: an integer from 0 to 1000000"},
    {"failurePolicy: {}", "failurePolicy: {window: 0s}",
     "f:21: spec.failurePolicy.window: 0s is not allowed: a duration from 1s to 720h*"},
    {"failurePolicy: {}", "failurePolicy: {rules: all}",
     "f:21: spec.failurePolicy.rules: all is not allowed: a list of at most 20 rules, each with an "
     "action"},
    {"failurePolicy: {}", "failurePolicy: {rules: [FailJob]}",
     "f:21: spec.failurePolicy.rules[0]: FailJob is not allowed: a rule with an action, such as "
     "{action: FailJob}"},
    {"failurePolicy: {}", "failurePolicy: {rules: [{action: Retry}]}",
     "f:21: spec.failurePolicy.rules[0].action: Retry is not allowed: one of Replace, FailJob and "
     "Ignore"},
    {"failurePolicy: {}", "failurePolicy: {rules: [{exitCodes: [1]}]}",
     "f:21: spec.failurePolicy.rules[0].action: is missing: one of Replace, FailJob and Ignore"},
    {"failurePolicy: {}", "failurePolicy: {rules: [{action: Ignore, exitCodes: [256]}]}",
     "f:21: spec.failurePolicy.rules[0].exitCodes: 256 is not allowed: an integer from 0 to 255"},
    {"failurePolicy: {}", "failurePolicy: {rules: [{action: Ignore, exitCodes: 1}]}",
     "f:21: spec.failurePolicy.rules[0].exitCodes: 1 is not allowed: a list of at most 256 "
     "integers "
     "from 0 to 255"},
    {"failurePolicy: {}", "failurePolicy: {rules: [{action: Ignore, podCondition: 1}]}",
     "f:21: spec.failurePolicy.rules[0].podCondition: 1 is not allowed: a text of at most 316 "
     "characters"},
    {"failurePolicy: {}", "failurePolicy: {rules: [{action: Ignore, exitCode: [1]}]}",
     "f:21: spec.failurePolicy.rules[0].exitCode: unknown field "
     "spec.failurePolicy.rules[0].exitCode"
     "; did you mean exitCodes?"},
    // The rest.
    {"suspend: false", "suspend: yes", "f:22: spec.suspend: yes is not allowed: true or false"},
    {"suspend: false", "managedBy: true",
     "f:22: spec.managedBy: true is not allowed: a text; put it in quotes"},
    {"suspend: false", "activeDeadlineSeconds: 0",
     "f:22: spec.activeDeadlineSeconds: 0 is not allowed: an integer from 1 to 315360000, or null"},
    {"suspend: false", "ttlSecondsAfterFinished: -1",
     "f:22: spec.ttlSecondsAfterFinished: -1 is not allowed: an integer from 0 to 315360000, or "
     "null"},
    {"suspend: false", "zebra: 1",
     "f:22: spec.zebra: unknown field spec.zebra; known here: workers, program, training, data, "
     "checkpoint, elasticity, failurePolicy, suspend, managedBy, activeDeadlineSeconds, "
     "ttlSecondsAfterFinished"},
};

// A star at the end stands for the rest, which another row spells out, and for further errors.
TEST(BadManifestTest, EveryErrorHasLineFieldValueAndWhatIsAllowed) {
  for (const Bad& bad : kBad) {
    const std::string text = Edited(bad.from, bad.to);
    ASSERT_FALSE(text.empty()) << bad.from;
    const Manifest manifest = CheckManifest("f", text);
    ASSERT_FALSE(manifest.result.errors.empty()) << bad.to;
    const std::string line = FindingLine("f", manifest.result.errors.front(), false);
    const std::string expected = bad.line;
    if (expected.back() == '*') {
      EXPECT_EQ(line.substr(0, expected.size() - 1), expected.substr(0, expected.size() - 1));
    } else {
      EXPECT_EQ(line, expected);
      EXPECT_EQ(manifest.result.errors.size(), 1u)
          << bad.to << ": also " << manifest.result.errors.back().sentence;
    }
  }
}

TEST(BadManifestTest, EveryFieldOfTheSchemaIsBrokenOnce) {
  std::string all;
  for (const Bad& bad : kBad) all += std::string(bad.line) + "\n";
  for (const api::Field& field : api::Schema()) {
    if (field.type == api::FieldType::kIgnored || field.type == api::FieldType::kGroup) continue;
    std::string path = field.path;
    if (const std::size_t at = path.find("[]"); at != std::string::npos) path.insert(at + 1, "0");
    const bool named = all.find(" " + path + ":") != std::string::npos ||
                       all.find(" " + path + ".") != std::string::npos;
    EXPECT_TRUE(named) << field.path;
  }
}

TEST(BadManifestTest, AllErrorsComeAtOnceInTheOrderOfTheDocument) {
  const Manifest manifest = CheckManifest(
      "f", "apiVersion: x\nkind: y\nspec:\n  suspend: 3\n  training: {slots: 0}\n  workers: []\n");
  std::vector<std::string> paths;
  for (const api::Finding& finding : manifest.result.errors) paths.push_back(finding.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"apiVersion", "metadata", "kind", "spec.suspend",
                                             "spec.program", "spec.training.steps",
                                             "spec.training.slots", "spec.workers"}));
}

}  // namespace
}  // namespace muster::cli
