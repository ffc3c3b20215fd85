// Every field of a TrainingJob's status in one table: its type and meaning, as `kubectl explain`
// tells it.
//
// StatusToJson writes no field that is not here, and each that is here (a test compares them). No
// field of the status has a bound that a run could exceed: a status that an API server refuses
// would stop the operator. Values only; the table never changes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muster::api {

// Of the newest that a status keeps on a cluster.
inline constexpr std::int64_t kMostRescales = 20;
inline constexpr std::int64_t kMostFailures = 200;

enum class StatusType {
  kGroup,
  kList,       // of groups; its fields have paths with "[]"
  kNumberMap,  // text to number
  kText,
  kInteger,  // not negative
  kNumber,
  kBoolean,
  kTime,
};

struct StatusField {
  std::string path;  // "status.progress.step"; items of a list: "status.rescales[].epoch"
  StatusType type = StatusType::kGroup;
  std::string description;
  std::int64_t most = 0;                // kList: its length; 0: as long as it must be
  std::vector<std::string_view> names;  // kText: one of these; empty: any
  std::string list_key;                 // kList: the field that tells its items apart
  bool required = false;                // an object without it means nothing
};

const std::vector<StatusField>& StatusSchema();

// The fields directly inside the group or the items of the list.
std::vector<const StatusField*> StatusChildrenOf(std::string_view path);

}  // namespace muster::api
