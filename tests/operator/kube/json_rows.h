// Objects of an API server for tests, written as JSON with single quotes.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "operator/kube/json.h"

namespace muster::kube {

inline Json Object(std::string text) {
  std::replace(text.begin(), text.end(), '\'', '"');
  return Json::parse(text);
}

}  // namespace muster::kube
