// Reads the fields of one JSON object that the program itself once wrote. Internal to operator/api.
//
// The first error sticks: after it every getter returns its default, and the status names the
// field. A field that is absent or null has the default.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::api {

using Json = nlohmann::ordered_json;

class JsonFields {
 public:
  // `json` and `status` outlive it.
  JsonFields(const Json& json, std::string path, absl::Status* status);

  bool Has(const char* key) const;
  JsonFields Object(const char* key) const;
  // The items of a list, each with its path.
  void ForEach(const char* key, const std::function<void(const JsonFields&)>& read) const;

  std::string Text(const char* key) const;
  bool Bool(const char* key) const;
  double Number(const char* key) const;
  // An integer of 32 or 64 bits, as a number or as a text.
  template <typename T>
  T Integer(const char* key, T absent = 0) const;
  base::WallTime Time(const char* key) const;
  const Json& json() const { return json_; }
  // Remembers that `key` is not what it should be.
  void Wrong(const char* key, std::string_view allowed) const;

 private:
  const Json& Child(const char* key) const;
  std::string Path(const char* key) const;

  const Json& json_;
  const std::string path_;
  absl::Status* const status_;
};

// One line when indent < 0. Bytes that are not UTF-8 become U+FFFD rather than an exception.
std::string Dump(const Json& json, int indent);

}  // namespace muster::api
