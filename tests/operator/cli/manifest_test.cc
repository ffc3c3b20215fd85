// Whole documents: good ones, odd ones, and files that are no manifests at all.
#include "operator/cli/manifest.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "operator/cli/validate.h"
#include "operator/cli/yaml_node.h"
#include "tests/operator/cli/good_manifest.h"

namespace muster::cli {
namespace {

std::string FirstError(const std::string& text) {
  const Manifest manifest = CheckManifest("f", text);
  return manifest.result.ok() ? "" : FindingLine("f", manifest.result.errors.front(), false);
}

TEST(ManifestTest, TakesAGoodOneWithDefaults) {
  const Manifest manifest = CheckManifest("f", kGood);
  ASSERT_TRUE(manifest.result.ok()) << FirstError(kGood);
  EXPECT_TRUE(manifest.result.warnings.empty());
  const api::TrainingJob& job = manifest.result.job;
  EXPECT_EQ(job.name, "licences");
  EXPECT_EQ(job.ns, "default");
  EXPECT_EQ(job.spec.workers.replicas, 4);
  EXPECT_EQ(job.spec.workers.min_replicas, 1);
  EXPECT_EQ(job.spec.workers.max_replicas, 8);
  EXPECT_EQ(job.spec.training.steps, 300);
  EXPECT_EQ(job.spec.checkpoint.keep, 3);
  EXPECT_EQ(job.spec.data.path, "/data");
  EXPECT_EQ(job.spec.elasticity.avoid_nodes.window, std::chrono::hours(1));
}

TEST(ManifestTest, MaxReplicasIsReplicasUnlessGiven) {
  const Manifest manifest = CheckManifest("f", Edited("    maxReplicas: 8\n", ""));
  ASSERT_TRUE(manifest.result.ok());
  EXPECT_EQ(manifest.result.job.spec.workers.max_replicas, 4);
}

TEST(ManifestTest, TakesTheExamplesOfTheDocs) {
  int seen = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(MUSTER_SOURCE_DIR) + "/docs/examples")) {
    std::istringstream none;
    const Manifest manifest = ReadManifest(entry.path().string(), none);
    EXPECT_TRUE(manifest.result.ok()) << entry.path();
    EXPECT_TRUE(manifest.result.warnings.empty()) << entry.path();
    ++seen;
  }
  EXPECT_GE(seen, 7);
}

TEST(ManifestTest, TakesJsonAndKeepsItsLines) {
  const std::string json =
      "{\"apiVersion\": \"muster.dev/v1alpha1\", \"kind\": \"TrainingJob\",\n"
      " \"metadata\": {\"name\": \"a\"},\n"
      " \"spec\": {\"workers\": {\"replicas\": 1}, \"program\": {\"builtin\": \"bench\"},\n"
      "  \"training\": {\"steps\": 1, \"slots\": 0}}}";
  EXPECT_EQ(FirstError(json),
            "f:4: spec.training.slots: 0 is not allowed: an integer from 1 to 65536");
}

TEST(ManifestTest, ResolvesAnchorsAndMergeKeys) {
  const std::string text = Edited("  training:\n    steps: 300\n    slots: 64\n",
                                  "  training:\n    <<: &t {steps: 5, slots: 64, seed: 3}\n"
                                  "    steps: 7\n");
  const Manifest manifest = CheckManifest("f", text);
  ASSERT_TRUE(manifest.result.ok()) << FirstError(text);
  EXPECT_EQ(manifest.result.job.spec.training.steps, 7);
  EXPECT_EQ(manifest.result.job.spec.training.seed, 3u);
  const std::string alias =
      Edited("replicas: 4\n    maxReplicas: 8", "replicas: &n 4\n    maxReplicas: *n");
  EXPECT_EQ(CheckManifest("f", alias).result.job.spec.workers.max_replicas, 4);
  EXPECT_EQ(FirstError(Edited("steps: 300", "<<: 3")), "f:14: << merges a map or a list of maps");
}

TEST(ManifestTest, KeepsAPodTemplateAsItIs) {
  const Manifest manifest = CheckManifest(
      "f", Edited("maxReplicas: 8",
                  "template: {spec: {containers: [{name: worker, tty: true, n: 1, s: \"1\"}]}}"));
  ASSERT_TRUE(manifest.result.ok());
  EXPECT_EQ(manifest.result.job.spec.workers.template_json,
            R"({"spec":{"containers":[{"name":"worker","tty":true,"n":1,"s":"1"}]}})");
}

TEST(ManifestTest, RefusesWhatIsNoYaml) {
  EXPECT_EQ(FirstError(""),
            "f:1: the file is empty; a manifest begins with apiVersion: muster.dev/v1alpha1");
  EXPECT_EQ(FirstError("# nothing\n").substr(0, 23), "f:1: the file is empty;");
  EXPECT_EQ(FirstError("a: 1\n\tb: 2\n"), "f:2: a tab indents this line; YAML takes spaces only");
  EXPECT_EQ(FirstError("a: 1\nb: \xff\n"), "f:2: this is not UTF-8 text; save the file as UTF-8");
  EXPECT_EQ(FirstError(std::string("a: \0b\n", 6)), "f:1: a control character; a manifest is text");
  EXPECT_EQ(FirstError(kGood + "---\n" + kGood),
            "f:24: a second document begins here; one file holds one TrainingJob");
  EXPECT_EQ(FirstError("a: [1\nb: 2\n").substr(0, 20), "f:2: this is not YAM");
  EXPECT_EQ(FirstError("just text\n"),
            "f:1: just text is not a TrainingJob: a map that begins with apiVersion: "
            "muster.dev/v1alpha1");
  EXPECT_EQ(FirstError("? [a]\n: 1\n"), "f:1: a field's name is a plain text");
}

TEST(ManifestTest, BoundsWhatItReads) {
  EXPECT_EQ(FirstError(std::string(kMaxManifestBytes + 1, 'a')),
            "f:1: the file is larger than 1 MiB: this is no manifest");
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'g'; ++c) {
    const std::string before(1, static_cast<char>(c - 1));
    bomb += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) bomb += (i > 0 ? ", *" : "*") + before;
    bomb += "]\n";
  }
  EXPECT_NE(FirstError(bomb).find("nested too deeply or its aliases grow too large"),
            std::string::npos);
  EXPECT_NE(FirstError("a: " + std::string(200, '[') + std::string(200, ']')), "");
}

TEST(ManifestTest, SaysWhyAFileCannotBeRead) {
  std::istringstream none;
  const Manifest missing = ReadManifest("/nowhere/at/all.yaml", none);
  ASSERT_FALSE(missing.result.ok());
  EXPECT_EQ(FindingLine(missing.file, missing.result.errors[0], false),
            "/nowhere/at/all.yaml: cannot be read: No such file or directory (errno 2)");
  const Manifest folder = ReadManifest("/", none);
  EXPECT_EQ(FindingLine(folder.file, folder.result.errors.at(0), false),
            "/: is a directory; name a manifest file");
}

TEST(ManifestTest, WarnsWhatALossWouldCost) {
  const Manifest manifest = CheckManifest("f", Edited("slots: 64", "slots: 16"));
  ASSERT_TRUE(manifest.result.ok());
  ASSERT_EQ(manifest.result.warnings.size(), 1u);
  EXPECT_EQ(
      FindingLine("f", manifest.result.warnings[0], true),
      "f:15: warning: spec.training.slots: 16 is less than 8 for each of 4 members: after the "
      "loss of one a step takes 1.50 times as long (6 slots a member instead of 4); from 32 "
      "slots on it is hardly felt");
}

TEST(ManifestTest, WarnsOfWhatHasNoEffect) {
  EXPECT_EQ(CheckManifest("f", kGood + "status: {}\n").result.warnings.at(0).path, "status");
  EXPECT_EQ(CheckManifest("f", Edited("heads: 4", "warmupSteps: 301")).result.warnings.at(0).path,
            "spec.program.config.warmupSteps");
}

TEST(ManifestTest, ValidateTellsTextAndJson) {
  std::istringstream in(kGood);
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunValidate({{"-"}, Output::kText, false}, in, out, err), 0);
  EXPECT_EQ(out.str(), "<stdin>: valid\n");
  EXPECT_EQ(err.str(), "");
  std::istringstream bad(Edited("slots: 64", "slots: 0"));
  std::ostringstream json;
  EXPECT_EQ(RunValidate({{"-"}, Output::kJson, false}, bad, json, err), 2);
  EXPECT_NE(json.str().find("\"field\": \"spec.training.slots\""), std::string::npos);
  EXPECT_NE(json.str().find("\"line\": 15"), std::string::npos);
}

}  // namespace
}  // namespace muster::cli
