// Rules between fields of a manifest: what no single field's range can say. Internal to
// operator/api.
#pragma once

#include <map>
#include <string>

#include "operator/api/job_validation.h"

namespace muster::api {

struct Place {
  int line = 0;
  int column = 0;
};

// Where fields were set, by path; groups too. A field that is not here has its default.
using Places = std::map<std::string, Place, std::less<>>;

// Adds errors and warnings. Only rules whose fields were all read well are applied: `broken` are
// the paths that already have an error.
void CheckRules(const Places& places, const Places& broken, ValidationResult& result);

}  // namespace muster::api
