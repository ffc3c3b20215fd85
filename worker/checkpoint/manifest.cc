// Names and JSON of a checkpoint. Digests are hexadecimal strings and 64-bit numbers decimal
// strings.
#include "worker/checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "operator/base/check.h"
#include "worker/exact/digest.h"

namespace muster::checkpoint {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string Padded(std::uint64_t value, std::size_t width) {
  std::string digits = std::to_string(value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

// Reads all of `text` as a number in `base`; false when anything else is in it.
template <typename T>
bool ReadNumber(std::string_view text, T& value, int base = 10) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  return error == std::errc() && stop == end && !text.empty();
}

OrderedJson PartObject(const PartInfo& part) {
  return {{"file", part.file},
          {"bytes", std::to_string(part.bytes)},
          {"sha256", part.sha256},
          {"begin", std::to_string(part.begin)},
          {"end", std::to_string(part.end)}};
}

// Collects the first thing that is wrong, so that a reader needs no status after every field.
class FieldReader {
 public:
  explicit FieldReader(const OrderedJson& object) : object_(object) {}

  std::string Text(const char* name) {
    const auto found = object_.find(name);
    if (found == object_.end() || !found->is_string()) {
      Fail(name, "must be a string");
      return "";
    }
    return found->get<std::string>();
  }
  template <typename T>
  T Number(const char* name, int base = 10) {
    T value{};
    const std::string text = Text(name);
    if (!ReadNumber(text, value, base))
      Fail(name, "must be a number in a string, not '" + text + "'");
    return value;
  }
  template <typename T>
  std::vector<T> Numbers(const char* name) {
    const auto found = object_.find(name);
    const bool good = found != object_.end() && found->is_array() &&
                      std::all_of(found->begin(), found->end(),
                                  [](const OrderedJson& v) { return v.is_number_integer(); });
    if (!good) {
      Fail(name, "must be a list of integers");
      return {};
    }
    return found->template get<std::vector<T>>();
  }
  void Fail(const std::string& name, const std::string& what) {
    if (error_.empty()) error_ = name + " " + what;
  }
  absl::Status status() const {
    return error_.empty() ? absl::OkStatus() : base::InvalidArgument(error_);
  }

 private:
  const OrderedJson& object_;
  std::string error_;
};

absl::StatusOr<PartInfo> ReadPart(const OrderedJson& object) {
  if (!object.is_object()) return base::InvalidArgument("a part must be an object");
  FieldReader fields(object);
  PartInfo part;
  part.file = fields.Text("file");
  part.bytes = fields.Number<std::int64_t>("bytes");
  part.sha256 = fields.Text("sha256");
  part.begin = fields.Number<std::int64_t>("begin");
  part.end = fields.Number<std::int64_t>("end");
  // The name is joined to the folder's: it must not lead out of it.
  if (part.file.empty() || part.file.front() == '.' || part.file.find('/') != std::string::npos) {
    fields.Fail("file", "must be a plain file name, not '" + part.file + "'");
  }
  MUSTER_RETURN_IF_ERROR(fields.status());
  return part;
}

absl::StatusOr<TensorEntry> ReadTensor(const OrderedJson& object) {
  if (!object.is_object()) return base::InvalidArgument("a tensor must be an object");
  FieldReader fields(object);
  TensorEntry tensor;
  tensor.name = fields.Text("name");
  tensor.shape = fields.Numbers<std::int64_t>("shape");
  tensor.offset = fields.Number<std::int64_t>("offset");
  MUSTER_RETURN_IF_ERROR(fields.status());
  return tensor;
}

absl::StatusOr<ManifestHeader> ReadHeader(const OrderedJson& object) {
  FieldReader fields(object);
  if (const std::string version = fields.Text("formatVersion");
      version != std::to_string(kFormatVersion)) {
    fields.Fail("formatVersion",
                "is '" + version + "'; this build reads version " + std::to_string(kFormatVersion));
  }
  ManifestHeader header;
  header.step = base::Step(fields.Number<std::int64_t>("step"));
  header.epoch = base::Epoch(fields.Number<std::uint64_t>("epoch"));
  header.job_uid = fields.Text("jobUid");
  header.state_digest = fields.Number<std::uint64_t>("stateDigest", 16);
  header.update_count = fields.Number<std::int64_t>("updateCount");
  header.exponents = fields.Numbers<std::int32_t>("exponents");
  header.parameters = fields.Number<std::int64_t>("parameters");
  header.kernel_family = fields.Text("kernelFamily");
  header.build_id = fields.Text("buildId");
  header.data_digest = fields.Text("dataDigest");
  MUSTER_RETURN_IF_ERROR(fields.status());
  return header;
}

absl::StatusOr<const OrderedJson*> List(const OrderedJson& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array()) {
    return base::InvalidArgument(std::string(name) + " must be a list");
  }
  return &*found;
}

absl::StatusOr<OrderedJson> ParseObject(const std::string& json) {
  OrderedJson parsed = OrderedJson::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return base::InvalidArgument("it is not a JSON object");
  return parsed;
}

}  // namespace

Slice PartSlice(std::int64_t parameters, std::int32_t rank, std::int32_t size) {
  MUSTER_CHECK(size >= 1 && rank >= 0 && rank < size, "a rank is in [0, size)");
  return {parameters * rank / size, parameters * (rank + 1) / size};
}

std::string FolderName(base::Step step, base::Epoch epoch) {
  return "step-" + Padded(static_cast<std::uint64_t>(step.value), 8) + "-e" +
         std::to_string(epoch.value);
}

std::string PartFileName(std::int32_t rank, std::int32_t size) {
  return "part-" + Padded(static_cast<std::uint64_t>(rank), 5) + "-of-" +
         Padded(static_cast<std::uint64_t>(size), 5) + ".safetensors";
}

std::optional<FolderId> ParseFolderName(std::string_view name) {
  const std::size_t mark = name.find("-e");
  if (!name.starts_with("step-") || mark == std::string_view::npos) return std::nullopt;
  FolderId id;
  if (!ReadNumber(name.substr(5, mark - 5), id.step.value) || id.step.value < 0 ||
      !ReadNumber(name.substr(mark + 2), id.epoch.value) || FolderName(id.step, id.epoch) != name) {
    return std::nullopt;
  }
  return id;
}

std::string PartInfoToJson(const PartInfo& part) { return PartObject(part).dump(); }

absl::StatusOr<PartInfo> PartInfoFromJson(const std::string& json) {
  MUSTER_ASSIGN_OR_RETURN(const OrderedJson object, ParseObject(json));
  return ReadPart(object);
}

std::string ManifestToJson(const Manifest& manifest) {
  const ManifestHeader& header = manifest.header;
  OrderedJson object = {{"formatVersion", std::to_string(kFormatVersion)},
                        {"step", std::to_string(header.step.value)},
                        {"epoch", std::to_string(header.epoch.value)},
                        {"jobUid", header.job_uid},
                        {"stateDigest", exact::DigestHex(header.state_digest)},
                        {"updateCount", std::to_string(header.update_count)},
                        {"exponents", header.exponents},
                        {"parameters", std::to_string(header.parameters)},
                        {"kernelFamily", header.kernel_family},
                        {"buildId", header.build_id},
                        {"dataDigest", header.data_digest},
                        {"parts", OrderedJson::array()},
                        {"tensors", OrderedJson::array()}};
  for (const PartInfo& part : manifest.parts) object["parts"].push_back(PartObject(part));
  for (const TensorEntry& tensor : manifest.tensors) {
    object["tensors"].push_back({{"name", tensor.name},
                                 {"shape", tensor.shape},
                                 {"offset", std::to_string(tensor.offset)}});
  }
  return object.dump(1) + "\n";
}

absl::Status CheckParts(const std::vector<PartInfo>& parts, std::int64_t parameters) {
  std::int64_t covered = 0;
  for (const PartInfo& part : parts) {
    if (part.begin != covered || part.end < part.begin) {
      return base::InvalidArgument("part " + part.file + " begins at element " +
                                   std::to_string(part.begin) + "; the parts before it end at " +
                                   std::to_string(covered));
    }
    covered = part.end;
  }
  if (covered != parameters) {
    return base::InvalidArgument("the parts end at element " + std::to_string(covered) + " of " +
                                 std::to_string(parameters));
  }
  return absl::OkStatus();
}

absl::StatusOr<Manifest> ManifestFromJson(const std::string& json) {
  MUSTER_ASSIGN_OR_RETURN(const OrderedJson object, ParseObject(json));
  Manifest manifest;
  MUSTER_ASSIGN_OR_RETURN(manifest.header, ReadHeader(object));
  MUSTER_ASSIGN_OR_RETURN(const OrderedJson* parts, List(object, "parts"));
  for (const OrderedJson& part : *parts) {
    MUSTER_ASSIGN_OR_RETURN(PartInfo info, ReadPart(part));
    manifest.parts.push_back(std::move(info));
  }
  MUSTER_ASSIGN_OR_RETURN(const OrderedJson* tensors, List(object, "tensors"));
  for (const OrderedJson& tensor : *tensors) {
    MUSTER_ASSIGN_OR_RETURN(TensorEntry entry, ReadTensor(tensor));
    manifest.tensors.push_back(std::move(entry));
  }
  MUSTER_RETURN_IF_ERROR(CheckParts(manifest.parts, manifest.header.parameters));
  return manifest;
}

}  // namespace muster::checkpoint
