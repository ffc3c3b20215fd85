// The table of status fields against what is written and read: nothing more, nothing less.
#include "operator/api/status_schema.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "operator/api/training_job_json.h"
#include "tests/operator/api/full_job.h"

namespace muster::api {
namespace {

using Json = nlohmann::ordered_json;

// "status.rescales[].epoch" -> its first value.
using Values = std::map<std::string, Json>;

void Collect(const Json& json, const std::string& path, Values& values) {
  values.emplace(path, json);
  if (json.is_array()) {
    for (const Json& item : json) Collect(item, path + "[]", values);
  }
  if (!json.is_object()) return;
  for (const auto& [key, value] : json.items()) Collect(value, path + "." + key, values);
}

Values Written() {
  Values values;
  Collect(Json::parse(StatusToJson(FullStatus())), "status", values);
  values.erase("status");
  for (const char* list : {"conditions", "rescales", "failures", "membership.keptCheckpoints"}) {
    values.erase("status." + std::string(list) + "[]");
  }
  for (const char* state : {"productive", "detecting"}) {
    values.erase("status.timeSeconds.closed." + std::string(state));
  }
  return values;
}

bool HasType(const Json& value, const StatusField& field) {
  switch (field.type) {
    case StatusType::kGroup:
    case StatusType::kNumberMap:
      return value.is_object();
    case StatusType::kList:
      return value.is_array();
    case StatusType::kInteger:
      return value.is_number_integer();
    case StatusType::kNumber:
      return value.is_number();
    case StatusType::kBoolean:
      return value.is_boolean();
    case StatusType::kText:
      return value.is_string();
    case StatusType::kTime:
      return value.is_string() && value.get<std::string>().ends_with("Z");
  }
  return false;
}

TEST(StatusSchemaTest, IsWhatIsWritten) {
  const Values written = Written();
  std::set<std::string> known;
  for (const StatusField& field : StatusSchema()) {
    EXPECT_TRUE(known.insert(field.path).second) << field.path;
    EXPECT_FALSE(field.description.empty()) << field.path;
    const auto found = written.find(field.path);
    ASSERT_NE(found, written.end()) << field.path << " is never written";
    EXPECT_TRUE(HasType(found->second, field)) << field.path << ": " << found->second;
  }
  for (const auto& [path, value] : written) EXPECT_TRUE(known.contains(path)) << path;
}

// Takes the value at the path out of the first item of each list on the way.
void Remove(Json& json, std::string_view path) {
  const std::size_t dot = path.find('.');
  std::string key(path.substr(0, dot));
  const bool list = key.ends_with("[]");
  if (list) key.resize(key.size() - 2);
  if (dot == std::string_view::npos) {
    json.erase(key);
    return;
  }
  Json& next = list ? json[key][0] : json[key];
  Remove(next, path.substr(dot + 1));
}

TEST(StatusSchemaTest, EveryFieldIsRead) {
  for (const StatusField& field : StatusSchema()) {
    if (field.path == "status.membership.size") continue;  // only compared with the members
    Json json = Json::parse(StatusToJson(FullStatus()));
    Remove(json, std::string_view(field.path).substr(std::string_view("status.").size()));
    const absl::StatusOr<TrainingJobStatus> status = ParseTrainingJobStatus(json.dump());
    EXPECT_FALSE(status.ok() && *status == FullStatus()) << field.path << " is not read";
  }
}

TEST(StatusSchemaTest, StatesAreThoseOfTheJob) {
  for (const StatusField& field : StatusSchema()) {
    if (field.path != "status.state") continue;
    ASSERT_EQ(field.names.size(), 8u);
    for (std::size_t i = 0; i < field.names.size(); ++i) {
      EXPECT_EQ(field.names[i], ToString(static_cast<JobState>(i)));
    }
  }
}

}  // namespace
}  // namespace muster::api
