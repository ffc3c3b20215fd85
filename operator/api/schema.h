// Every field of a TrainingJob manifest in one table: its type, range, default and meaning.
//
// Validation, defaults, JSON and `muster explain` all read this table, so a field that is not here
// does not exist and one that is here works everywhere. Values only; the table never changes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/api/training_job.h"

namespace muster::api {

inline constexpr char kApiVersion[] = "muster.dev/v1alpha1";
inline constexpr char kKind[] = "TrainingJob";

enum class FieldType {
  kGroup,  // a map with known fields
  kText,
  kInteger,
  kNumber,
  kBoolean,
  kEnum,
  kDuration,
  kObject,     // a map whose fields are not ours: kept as it is
  kStringMap,  // text to text: labels, annotations
  kRules,      // spec.failurePolicy.rules
  kIntegers,   // a list of integers
  kIgnored,    // written by an API server, read by nobody here
};

// Where the value lives in the struct.
template <typename T>
using FieldAccess = T& (*)(TrainingJob&);
using FieldRef = std::variant<
    std::monostate, FieldAccess<std::int32_t>, FieldAccess<std::int64_t>,
    FieldAccess<std::uint64_t>, FieldAccess<double>, FieldAccess<bool>, FieldAccess<std::string>,
    FieldAccess<base::Duration>, FieldAccess<std::optional<std::int64_t>>,
    FieldAccess<std::optional<base::Duration>>, FieldAccess<Builtin>, FieldAccess<Reduction>,
    FieldAccess<Transport>, FieldAccess<DataFormat>, FieldAccess<DeviceRequest>>;

// When an update of the object may change a field; without a start nothing is fixed but kNever.
enum class Change {
  kAnyTime,
  kUntilStart,      // fixed once status.startTime is set: what decides the result
  kWhileSuspended,  // the pods' template
  kNever,
};

// What a text may consist of.
enum class TextForm {
  kAny,
  kJobName,   // ^[a-z]([-a-z0-9]*[a-z0-9])?$
  kDnsLabel,  // ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$
};

struct Field {
  std::string path;  // "spec.training.slots"; items of a list: "spec.failurePolicy.rules[].action"
  FieldType type = FieldType::kGroup;
  FieldRef ref;
  bool required = false;
  bool nullable = false;
  bool cluster_only = false;       // accepted on one machine, where it has no effect
  std::optional<Builtin> builtin;  // program.config: the one that knows it
  Change change = Change::kAnyTime;
  // Younger than the first workers: those refuse a field that they do not know, so the spec of a job
  // without it must not name it.
  bool only_where_set = false;
  // kInteger; kDuration in nanoseconds; kText in characters and kRules: of the length
  std::int64_t least = 0;
  std::int64_t most = 0;
  double low = 0;  // kNumber
  double high = 0;
  bool low_open = false;  // low itself is not allowed
  bool high_open = false;
  TextForm form = TextForm::kAny;
  std::vector<std::string_view> one_of;  // kEnum, in the order of the C++ enum
  std::string default_text;              // empty: none
  std::string description;
  std::string why;  // added to the sentence about a wrong value
};

const std::vector<Field>& Schema();

// Nothing when there is no such field.
const Field* FindField(std::string_view path);

// The fields directly inside the group; "" is the document.
std::vector<const Field*> ChildrenOf(std::string_view path);

// The last part of the path.
std::string_view LeafName(std::string_view path);

// "an integer from 1 to 65536".
std::string AllowedText(const Field& field);

// The field's value in `job`, as a manifest would write it; empty when it is not set.
std::string FieldText(const Field& field, const TrainingJob& job);

// The known name that `word` was probably meant to be; empty when none is near. Case, '-' and '_'
// do not count.
std::string Nearest(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace muster::api
