// A document in, a TrainingJob out, or every error at once: line, field, value and what is allowed.
//
// Values only. What one machine or one cluster cannot do with a valid job is not said here.
#pragma once

#include <string>
#include <vector>

#include "operator/api/node.h"
#include "operator/api/training_job.h"
#include "operator/base/status.h"

namespace muster::api {

struct Finding {
  int line = 0;  // 0: not known
  int column = 0;
  std::string path;   // spec.training.slots
  std::string value;  // as written; empty when the field is missing or the finding is about several
  std::string allowed;   // "an integer from 1 to 65536"; empty when the sentence says all
  std::string sentence;  // "0 is not allowed: an integer from 1 to 65536"
  friend bool operator==(const Finding&, const Finding&) = default;
};

struct ValidationResult {
  TrainingJob job;              // complete, with defaults, when ok()
  std::vector<Finding> errors;  // in the order of the document
  std::vector<Finding> warnings;
  bool ok() const { return errors.empty(); }
};

ValidationResult Validate(const Node& root);

// Types and names only, ranges and rules between fields not: what the program itself wrote down.
// `path` says what `node` is: "" a whole job, "spec" its spec.
absl::StatusOr<TrainingJob> ReadTrusted(const Node& node, const std::string& path);

}  // namespace muster::api
