// Reads one node into one field of a job, or says what is wrong with it. Internal to operator/api.
#pragma once

#include <string>
#include <string_view>

#include "operator/api/job_validation.h"
#include "operator/api/schema.h"

namespace muster::api {

// Whether ranges are checked, or types alone.
enum class Ranges { kChecked, kTrusted };

// True when it was taken. Otherwise `*hint` may say more than what is allowed.
bool ReadField(const Field& field, const Node& node, Ranges ranges, TrainingJob& job,
               std::string* hint);

// The index of the scalar among the field's names; -1: none.
int ReadChoice(const Field& field, const Node& node);

// The scalar as an integer; false when it is none or does not fit in 64 bits.
bool ReadInteger(const Node& node, std::int64_t* value);

// Of UTF-8 text: what an API server counts, too.
std::int64_t Characters(std::string_view text);

// A value as it was written, short enough for a sentence.
std::string Shown(const Node& node);

}  // namespace muster::api
