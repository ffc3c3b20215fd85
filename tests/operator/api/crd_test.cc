// The checked-in definition is the one that the tables make; whether an API server takes it is
// tests/crd's business.
#include "operator/api/crd.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "operator/api/crd_rules.h"
#include "operator/api/crd_yaml.h"
#include "operator/api/schema.h"
#include "operator/api/training_job_json.h"
#include "tests/operator/api/full_job.h"

namespace muster::api {
namespace {

using Json = nlohmann::ordered_json;

TEST(CrdTest, CheckedInFileIsFresh) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/crds/muster.dev_trainingjobs.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_TRUE(text.str() == CrdYaml()) << "crds/muster.dev_trainingjobs.yaml is stale: run "
                                          "`hack/dev crd` and review the difference";
}

TEST(CrdTest, FitsIntoTheAnnotationOfClientSideApply) { EXPECT_LT(CrdYaml().size(), 256u * 1024); }

TEST(CrdTest, RulesSpeakWhereThereIsAField) {
  for (const CelRule& rule : CelRules()) {
    EXPECT_FALSE(rule.message.empty()) << rule.rule;
    if (rule.at == "status") continue;
    const std::string path = rule.at.empty() ? rule.field : rule.at + "." + rule.field;
    EXPECT_NE(FindField(path), nullptr) << path;
  }
}

// A member of the struct that no row stands for would be lost on its way through an API server.
TEST(CrdTest, EveryFieldOfTheSpecIsRead) {
  const Json full = Json::parse(SpecToJson(FullSpec()));
  for (const Field& field : Schema()) {
    if (!field.path.starts_with("spec.") || field.type == FieldType::kGroup) continue;
    if (field.path.find("[]") != std::string::npos || field.builtin == Builtin::kBench) continue;
    Json json = full;
    std::string pointer = field.path.substr(4);
    for (char& c : pointer) c = c == '.' ? '/' : c;
    const Json::json_pointer at(pointer);
    ASSERT_TRUE(json.contains(at)) << field.path << " is never written";
    if (field.path == "spec.program.builtin") {
      json[at] = "bench";  // without one it is gpt, as here
    } else {
      json[at.parent_pointer()].erase(at.back());
    }
    const absl::StatusOr<TrainingJobSpec> spec = ParseTrainingJobSpec(json.dump());
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_FALSE(*spec == FullSpec()) << field.path << " is not read, or has its default there";
  }
}

TEST(CrdYamlTest, WritesBlocksAndQuotesTexts) {
  const Json json = {{"a", {{"b", 1}, {"empty", Json::object()}}},
                     {"list", Json::array({1, "x: y", {{"k", true}, {"l", Json::array({2})}}})},
                     {"none", Json::array()},
                     {"x-y/z", nullptr},
                     {"1", 0.5}};
  EXPECT_EQ(ToYaml(json),
            "a:\n"
            "  b: 1\n"
            "  empty: {}\n"
            "list:\n"
            "- 1\n"
            "- \"x: y\"\n"
            "- k: true\n"
            "  l:\n"
            "  - 2\n"
            "none: []\n"
            "x-y/z: null\n"
            "\"1\": 0.5\n");
}

}  // namespace
}  // namespace muster::api
