#include "operator/local/protocol.h"

#include <array>
#include <charconv>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "operator/api/training_job_json.h"
#include "operator/local/fields.h"

namespace muster::local {
namespace {

using nlohmann::json;

// ---- writing

struct Writer {
  json out = json::object();
  template <typename T>
  void operator()(const char* name, const T& x) {
    out[name] = ToJson(x);
  }

  static json ToJson(const std::string& x) { return x; }
  static json ToJson(base::MemberId x) { return base::ToString(x); }
  static json ToJson(base::WallTime x) { return x.time_since_epoch().count(); }
  static json ToJson(const api::TrainingJobSpec& x) { return json::parse(api::SpecToJson(x)); }
  static json ToJson(const api::TrainingJobStatus& x) { return json::parse(api::StatusToJson(x)); }
  template <typename Tag, typename Rep>
  static json ToJson(base::StrongInt<Tag, Rep> x) {
    return x.value;
  }
  template <typename T>
  static json ToJson(const std::optional<T>& x) {
    return x ? ToJson(*x) : json();
  }
  template <typename T>
  static json ToJson(const std::vector<T>& xs) {
    json list = json::array();
    for (const T& x : xs) list.push_back(ToJson(x));
    return list;
  }
  static json ToJson(const std::map<std::int32_t, std::int32_t>& xs) {
    json object = json::object();
    for (const auto& [key, value] : xs) object[std::to_string(key)] = value;
    return object;
  }
  template <typename T>
  static json ToJson(const T& x) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<int>(x);
    } else if constexpr (std::is_arithmetic_v<T>) {
      return x;
    } else {
      Writer writer;
      // Visit takes its argument by reference for the reader's sake; the writer changes nothing.
      Visit(writer, const_cast<T&>(x));
      return std::move(writer.out);
    }
  }
};

// ---- reading

struct Reader {
  const json& in;
  absl::Status status = absl::OkStatus();
  template <typename T>
  void operator()(const char* name, T& x) {
    auto it = in.find(name);
    // Absent is the default: an older writer knew nothing of it.
    if (it == in.end() || !status.ok()) return;
    if (auto read = FromJson(*it, x); !read.ok()) status = base::Annotate(read, name);
  }

  static absl::Status Wrong(const json& j, const char* wanted) {
    return base::InvalidArgument(std::string(j.type_name()) + " where " + wanted + " is expected");
  }
  static absl::Status FromJson(const json& j, std::string& x) {
    if (!j.is_string()) return Wrong(j, "a string");
    x = j.get<std::string>();
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, bool& x) {
    if (!j.is_boolean()) return Wrong(j, "a boolean");
    x = j.get<bool>();
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, double& x) {
    // JSON has no word for a number that is not finite.
    if (j.is_null()) {
      x = std::numeric_limits<double>::quiet_NaN();
      return absl::OkStatus();
    }
    if (!j.is_number()) return Wrong(j, "a number");
    x = j.get<double>();
    return absl::OkStatus();
  }
  template <std::integral T>
  static absl::Status FromJson(const json& j, T& x) {
    if (!j.is_number_integer()) return Wrong(j, "an integer");
    const bool fits = j.is_number_unsigned() ? std::in_range<T>(j.get<std::uint64_t>())
                                             : std::in_range<T>(j.get<std::int64_t>());
    if (!fits) {
      return base::InvalidArgument(j.dump() + " does not fit into " +
                                   std::to_string(sizeof(T) * 8) + " bits" +
                                   (std::is_signed_v<T> ? "" : " without a sign"));
    }
    x = j.get<T>();
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, base::MemberId& x) {
    std::string text;
    MUSTER_RETURN_IF_ERROR(FromJson(j, text));
    MUSTER_ASSIGN_OR_RETURN(x, base::ParseMemberId(text));
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, base::WallTime& x) {
    std::int64_t count = 0;
    MUSTER_RETURN_IF_ERROR(FromJson(j, count));
    x = base::WallTime(base::Duration(count));
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, api::TrainingJobSpec& x) {
    MUSTER_ASSIGN_OR_RETURN(x, api::ParseTrainingJobSpec(j.dump()));
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, api::TrainingJobStatus& x) {
    MUSTER_ASSIGN_OR_RETURN(x, api::ParseTrainingJobStatus(j.dump()));
    return absl::OkStatus();
  }
  template <typename Tag, typename Rep>
  static absl::Status FromJson(const json& j, base::StrongInt<Tag, Rep>& x) {
    return FromJson(j, x.value);
  }
  template <typename T>
  static absl::Status FromJson(const json& j, std::optional<T>& x) {
    x.reset();
    if (j.is_null()) return absl::OkStatus();
    return FromJson(j, x.emplace());
  }
  template <typename T>
  static absl::Status FromJson(const json& j, std::vector<T>& xs) {
    if (!j.is_array()) return Wrong(j, "a list");
    xs.clear();
    for (const json& element : j) MUSTER_RETURN_IF_ERROR(FromJson(element, xs.emplace_back()));
    return absl::OkStatus();
  }
  static absl::Status FromJson(const json& j, std::map<std::int32_t, std::int32_t>& xs) {
    if (!j.is_object()) return Wrong(j, "an object");
    xs.clear();
    for (const auto& [key, value] : j.items()) {
      std::int32_t number = 0;
      MUSTER_RETURN_IF_ERROR(FromJson(value, number));
      std::int32_t ordinal = 0;
      const char* end = key.data() + key.size();
      const auto [stop, error] = std::from_chars(key.data(), end, ordinal);
      if (error != std::errc() || stop != end) {
        return base::InvalidArgument("\"" + key + "\" is not an ordinal");
      }
      xs[ordinal] = number;
    }
    return absl::OkStatus();
  }
  template <typename T>
    requires(std::is_enum_v<T>)
  static absl::Status FromJson(const json& j, T& x) {
    int number = 0;
    MUSTER_RETURN_IF_ERROR(FromJson(j, number));
    x = static_cast<T>(number);
    return absl::OkStatus();
  }
  template <typename T>
    requires(std::is_class_v<T>)
  static absl::Status FromJson(const json& j, T& x) {
    if (!j.is_object()) return Wrong(j, "an object");
    Reader reader{j};
    Visit(reader, x);
    return reader.status;
  }
};

// ---- variants: {"kind": name, ...fields}

template <typename V>
struct Names;
template <>
struct Names<LocalEvent> {
  static constexpr std::array<const char*, 14> value = {
      "StepCommitted", "Live",           "Evicted",
      "Rescaled",      "CheckpointDone", "CheckpointAbandoned",
      "HeldOut",       "RolledBack",     "PodStarted",
      "PodExited",     "FaultFired",     "CoordinatorRestarted",
      "Note",          "StatusChanged"};
};
template <>
struct Names<ClusterMessage> {
  static constexpr std::array<const char*, 4> value = {"Opening", "JobChanged", "PodChanged",
                                                       "PodDeleted"};
};
template <>
struct Names<CoordinatorRequest> {
  static constexpr std::array<const char*, 5> value = {"CreatePod", "DeletePod", "WriteStatus",
                                                       "Report", "GiveUp"};
};

template <typename V>
json VariantToJson(const V& variant);

template <typename V, std::size_t I = 0>
absl::Status VariantFromJson(const json& j, V& out) {
  static_assert(Names<V>::value.size() == std::variant_size_v<V>);
  if constexpr (I == std::variant_size_v<V>) {
    return base::InvalidArgument("unknown kind");
  } else {
    const auto kind = j.find("kind");
    if (kind == j.end() || !kind->is_string()) return base::InvalidArgument("no kind");
    if (kind->get_ref<const std::string&>() != Names<V>::value[I]) {
      return VariantFromJson<V, I + 1>(j, out);
    }
    auto& alternative = out.template emplace<I>();
    if constexpr (std::is_same_v<std::decay_t<decltype(alternative)>, Report>) {
      const auto event = j.find("event");
      if (event == j.end()) return base::InvalidArgument("a report of nothing");
      return VariantFromJson(*event, alternative.event);
    } else {
      return Reader::FromJson(j, alternative);
    }
  }
}

json AlternativeToJson(const Report& report) {
  json out = json::object();
  out["event"] = VariantToJson(report.event);
  return out;
}
template <typename T>
json AlternativeToJson(const T& x) {
  return Writer::ToJson(x);
}

template <typename V>
json VariantToJson(const V& variant) {
  json out = std::visit([](const auto& x) { return AlternativeToJson(x); }, variant);
  out["kind"] = Names<V>::value[variant.index()];
  return out;
}

// A worker's log line may hold any bytes: what is not UTF-8 is replaced.
std::string Dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

template <typename V>
absl::StatusOr<V> Decode(std::string_view line) {
  const json j = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object())
    return base::InvalidArgument("not a JSON object: " + std::string(line.substr(0, 80)));
  V out;
  if (auto status = VariantFromJson(j, out); !status.ok()) {
    return base::Annotate(status, std::string(line.substr(0, 80)));
  }
  return out;
}

}  // namespace

std::string Encode(const ClusterMessage& message) { return Dump(VariantToJson(message)); }
std::string Encode(const CoordinatorRequest& request) { return Dump(VariantToJson(request)); }
absl::StatusOr<ClusterMessage> DecodeClusterMessage(std::string_view line) {
  return Decode<ClusterMessage>(line);
}
absl::StatusOr<CoordinatorRequest> DecodeCoordinatorRequest(std::string_view line) {
  return Decode<CoordinatorRequest>(line);
}

}  // namespace muster::local
