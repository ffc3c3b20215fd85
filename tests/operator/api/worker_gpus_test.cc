// GPUs of a worker, as a template spells them.
#include "operator/api/worker_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace muster::api {
namespace {

absl::StatusOr<std::int64_t> Gpus(std::string pod_template) {
  std::replace(pod_template.begin(), pod_template.end(), '\'', '"');
  WorkersSpec workers;
  workers.template_json = pod_template;
  return WorkerGpus(workers);
}

std::string Asking(const std::string& resources) {
  return "{'spec':{'containers':[{'name':'worker','resources':" + resources + "}]}}";
}

TEST(WorkerGpusTest, CountsTheLimitElseTheRequestOfOurContainer) {
  const struct {
    std::string pod_template;
    std::int64_t gpus;
  } rows[] = {
      {"{}", 0},
      {"[]", 0},
      {"no JSON", 0},
      {"{'spec':{'containers':[]}}", 0},
      {"{'spec':{'containers':[7]}}", 0},
      {Asking("{}"), 0},
      {Asking("{'limits':null}"), 0},
      {Asking("{'limits':{'cpu':'4'}}"), 0},
      {Asking("{'limits':{'nvidia.com/gpu':null}}"), 0},
      {Asking("{'limits':{'nvidia.com/gpu':0}}"), 0},
      {Asking("{'limits':{'nvidia.com/gpu':'8'}}"), 8},
      {Asking("{'limits':{'nvidia.com/gpu':8}}"), 8},
      {Asking("{'requests':{'nvidia.com/gpu':2}}"), 2},
      {Asking("{'limits':{'nvidia.com/gpu':4},'requests':{'nvidia.com/gpu':2}}"), 4},
      {Asking("{'limits':{'nvidia.com/mig-1g.10gb':3}}"), 0},
      {"{'spec':{'containers':[{'name':'log','resources':{'limits':{'nvidia.com/gpu':1}}},"
       "{'name':'worker'}]}}",
       0},
      {"{'spec':{'containers':[{'name':'mine','resources':{'limits':{'nvidia.com/gpu':1}}},"
       "{'name':'log'}]}}",
       1},
  };
  for (const auto& row : rows) {
    const auto gpus = Gpus(row.pod_template);
    ASSERT_TRUE(gpus.ok()) << row.pod_template << ": " << base::Message(gpus.status());
    EXPECT_EQ(*gpus, row.gpus) << row.pod_template;
  }
}

TEST(WorkerGpusTest, ANumberInOtherWordsIsNamedWithItsField) {
  for (const char* value : {"'1.5'", "1.5", "-1", "'8k'", "'many'", "''", "[1]", "true"}) {
    const auto gpus = Gpus(Asking("{'limits':{'nvidia.com/gpu':" + std::string(value) + "}}"));
    ASSERT_FALSE(gpus.ok()) << value;
    EXPECT_EQ(gpus.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(base::Message(gpus.status()),
                testing::HasSubstr("containers[].resources.limits[nvidia.com/gpu] is "))
        << value;
  }
}

}  // namespace
}  // namespace muster::api
