// The getters; the JSON library stays in this file and in those that build objects.
#include "operator/api/json_fields.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "operator/api/quantity.h"

namespace muster::api {

JsonFields::JsonFields(const Json& json, std::string path, absl::Status* status)
    : json_(json), path_(std::move(path)), status_(status) {
  if (!json_.is_object()) Wrong("", "an object");
}

bool JsonFields::Has(const char* key) const {
  return json_.is_object() && json_.contains(key) && !json_[key].is_null();
}

JsonFields JsonFields::Object(const char* key) const { return {Child(key), Path(key), status_}; }

void JsonFields::ForEach(const char* key,
                         const std::function<void(const JsonFields&)>& read) const {
  const Json& list = Child(key);
  if (list.is_null()) return;
  if (!list.is_array()) return Wrong(key, "a list");
  for (std::size_t i = 0; i < list.size(); ++i) {
    read(JsonFields(list[i], Path(key) + "[" + std::to_string(i) + "]", status_));
  }
}

std::string JsonFields::Text(const char* key) const {
  const Json& value = Child(key);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_null()) Wrong(key, "a text");
  return "";
}

bool JsonFields::Bool(const char* key) const {
  const Json& value = Child(key);
  if (!value.is_null() && !value.is_boolean()) Wrong(key, "true or false");
  return value.is_boolean() && value.get<bool>();
}

double JsonFields::Number(const char* key) const {
  const Json& value = Child(key);
  if (value.is_number()) return value.get<double>();
  if (!value.is_null()) Wrong(key, "a number");
  return 0;
}

template <typename T>
T JsonFields::Integer(const char* key, T absent) const {
  const Json& value = Child(key);
  if (value.is_null()) return absent;
  const std::string text = value.is_string() ? value.get<std::string>() : Dump(value, -1);
  T out = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  if (error == std::errc() && stop == end) return out;
  Wrong(key, "an integer");
  return absent;
}
template std::int32_t JsonFields::Integer(const char*, std::int32_t) const;
template std::int64_t JsonFields::Integer(const char*, std::int64_t) const;
template std::uint64_t JsonFields::Integer(const char*, std::uint64_t) const;

base::WallTime JsonFields::Time(const char* key) const {
  const std::string text = Text(key);
  if (text.empty()) return base::WallTime();
  const absl::StatusOr<base::WallTime> time = ParseTime(text);
  if (time.ok()) return *time;
  Wrong(key, "an RFC 3339 time");
  return base::WallTime();
}

void JsonFields::Wrong(const char* key, std::string_view allowed) const {
  if (!status_->ok()) return;
  std::string shown = Dump(Child(key), -1);
  if (shown.size() > 80) shown = shown.substr(0, 80) + "...";
  *status_ =
      base::InvalidArgument(Path(key) + ": " + shown + " is not allowed: " + std::string(allowed));
}

const Json& JsonFields::Child(const char* key) const {
  static const Json kNull;
  if (*key == '\0') return json_;
  return Has(key) ? json_[key] : kNull;
}

std::string JsonFields::Path(const char* key) const {
  if (*key == '\0') return path_;
  return path_.empty() ? key : path_ + "." + key;
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace muster::api
