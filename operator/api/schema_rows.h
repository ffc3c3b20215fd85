// How the table of fields is written: one constructor per type, then what else is true of the row.
//
// Internal to operator/api. Values only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/api/schema.h"

namespace muster::api {

// A row under construction; converts to the Field.
class Row {
 public:
  Row(std::string path, FieldType type, std::string description) {
    field_.path = std::move(path);
    field_.type = type;
    field_.description = std::move(description);
  }
  Row At(FieldRef ref) && { return field_.ref = ref, std::move(*this); }
  Row Between(std::int64_t least, std::int64_t most) && {
    field_.least = least;
    field_.most = most;
    return std::move(*this);
  }
  Row Between(base::Duration least, base::Duration most) && {
    return std::move(*this).Between(least.count(), most.count());
  }
  Row Within(double low, double high) && {
    field_.low = low;
    field_.high = high;
    return std::move(*this);
  }
  Row LowOpen() && { return field_.low_open = true, std::move(*this); }
  Row HighOpen() && { return field_.high_open = true, std::move(*this); }
  Row Required() && { return field_.required = true, std::move(*this); }
  Row Nullable() && { return field_.nullable = true, std::move(*this); }
  Row ClusterOnly() && { return field_.cluster_only = true, std::move(*this); }
  Row Of(TextForm form) && { return field_.form = form, std::move(*this); }
  Row Changes(Change change) && { return field_.change = change, std::move(*this); }
  Row OnlyWhereSet() && { return field_.only_where_set = true, std::move(*this); }
  Row Of(Builtin builtin) && { return field_.builtin = builtin, std::move(*this); }
  Row OneOf(std::vector<std::string_view> names) && {
    field_.one_of = std::move(names);
    return std::move(*this);
  }
  Row Default(std::string text) && {
    field_.default_text = std::move(text);
    return std::move(*this);
  }
  Row Why(std::string why) && { return field_.why = std::move(why), std::move(*this); }
  Field Take() && { return std::move(field_); }

 private:
  Field field_;
};

// The rows, in the order of a manifest: schema_job.cc and schema_training.cc.
void AddMetadataRows(std::vector<Field>& rows);
void AddWorkersRows(std::vector<Field>& rows);
void AddProgramRows(std::vector<Field>& rows);
void AddTrainingRows(std::vector<Field>& rows);
void AddElasticityRows(std::vector<Field>& rows);

}  // namespace muster::api

// The member of TrainingJob that a row stands for.
#define MUSTER_FIELD(member) \
  +[](::muster::api::TrainingJob& job) -> decltype(auto) { return (job.member); }
