// One function per rule; each says what is wrong, where, and what would be right.
#include "operator/api/job_rules.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "operator/api/schema.h"
#include "operator/base/text.h"

namespace muster::api {
namespace {

class Rules {
 public:
  Rules(const Places& places, const Places& broken, ValidationResult& result)
      : places_(places), broken_(broken), result_(result), spec_(result.job.spec) {}

  void CheckAll() {
    MinReplicas();
    MaxReplicas();
    Slots();
    WidthByHeads();
    Vocabulary();
    DataPath();
    ConfigOfBuiltin();
    WeightsOfGpt();
    OnlyWithCuda();
    SlotsPerMember();
    Warmup();
    DataOfBench();
  }

 private:
  // Whether all of them were read well, and every group around them.
  bool Read(std::initializer_list<std::string_view> paths) const {
    for (std::string_view path : paths) {
      for (; !path.empty(); path = Parent(path)) {
        if (broken_.contains(path)) return false;
      }
    }
    return true;
  }
  static std::string_view Parent(std::string_view path) {
    const std::size_t dot = path.rfind('.');
    return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
  }
  bool IsSet(std::string_view path) const { return places_.contains(path); }

  // The field's place, or that of the nearest group around it.
  Place PlaceOf(std::string path) const {
    while (!path.empty()) {
      if (const auto found = places_.find(path); found != places_.end()) return found->second;
      path = std::string(Parent(path));
    }
    return {1, 1};
  }
  Finding Make(const std::string& path, std::string value, std::string allowed) const {
    const Place place = PlaceOf(path);
    std::string sentence = value + " is not allowed: " + allowed;
    return {place.line, place.column, path, std::move(value), std::move(allowed), sentence};
  }
  void Error(const std::string& path, std::string value, std::string allowed) {
    result_.errors.push_back(Make(path, std::move(value), std::move(allowed)));
  }
  void Warn(const std::string& path, std::string sentence) {
    const Place place = PlaceOf(path);
    result_.warnings.push_back({place.line, place.column, path, "", "", std::move(sentence)});
  }

  void MinReplicas() {
    const WorkersSpec& workers = spec_.workers;
    if (!Read({"spec.workers.minReplicas", "spec.workers.replicas"})) return;
    if (workers.min_replicas <= workers.replicas) return;
    Error("spec.workers.minReplicas", std::to_string(workers.min_replicas),
          "at most replicas, which is " + std::to_string(workers.replicas));
  }

  void MaxReplicas() {
    const WorkersSpec& workers = spec_.workers;
    if (!Read({"spec.workers.maxReplicas", "spec.workers.replicas"})) return;
    if (workers.max_replicas >= workers.replicas) return;
    Error("spec.workers.maxReplicas", std::to_string(workers.max_replicas),
          "at least replicas, which is " + std::to_string(workers.replicas));
  }

  void Slots() {
    const WorkersSpec& workers = spec_.workers;
    if (!Read({"spec.training.slots", "spec.workers.maxReplicas", "spec.workers.replicas",
               "spec.workers.processesPerWorker"})) {
      return;
    }
    const std::int64_t members = std::int64_t{workers.max_replicas} * workers.processes_per_worker;
    if (spec_.training.slots >= members) return;
    Error("spec.training.slots", std::to_string(spec_.training.slots),
          "at least " + std::to_string(members) +
              " (maxReplicas x processesPerWorker), so that every member has one");
  }

  void WidthByHeads() {
    const ProgramConfig& config = spec_.program.config;
    if (spec_.program.builtin != Builtin::kGpt) return;
    if (!Read({"spec.program.config.width", "spec.program.config.heads"})) return;
    if (config.width % config.heads == 0) return;
    Error("spec.program.config.width", std::to_string(config.width),
          "a multiple of heads, which is " + std::to_string(config.heads));
  }

  void Vocabulary() {
    const ProgramConfig& config = spec_.program.config;
    if (spec_.program.builtin != Builtin::kGpt || spec_.data.format != DataFormat::kText) return;
    if (!Read({"spec.program.config.vocabulary", "spec.data.format"})) return;
    if (config.vocabulary == 256) return;
    Error("spec.program.config.vocabulary", std::to_string(config.vocabulary),
          "256 with data.format text, where each byte is a token");
  }

  void DataPath() {
    if (spec_.program.builtin != Builtin::kGpt || !spec_.data.path.empty()) return;
    if (!Read({"spec.data", "spec.data.path", "spec.program.builtin"})) return;
    const Place place = PlaceOf("spec.data.path");
    const std::string allowed = "a file or a directory to train on";
    result_.errors.push_back({place.line, place.column, "spec.data.path", "", allowed,
                              "is missing, and program gpt needs it: " + allowed});
  }

  void ConfigOfBuiltin() {
    if (!Read({"spec.program.builtin"})) return;
    std::string known;
    for (const Field& field : Schema()) {
      if (field.builtin != spec_.program.builtin) continue;
      known += (known.empty() ? "" : ", ") + std::string(LeafName(field.path));
    }
    for (const Field& field : Schema()) {
      if (!field.builtin || *field.builtin == spec_.program.builtin || !IsSet(field.path)) continue;
      const std::string mine = FieldText(*FindField("spec.program.builtin"), result_.job);
      const Place place = PlaceOf(field.path);
      result_.errors.push_back({place.line, place.column, field.path, "", known,
                                "does not belong to program " + mine + ", which knows " + known});
    }
  }

  void WeightsOfGpt() {
    if (spec_.program.builtin == Builtin::kGpt || spec_.program.weights.path.empty()) return;
    if (!Read({"spec.program.weights.path", "spec.program.builtin"})) return;
    const Place place = PlaceOf("spec.program.weights.path");
    result_.errors.push_back({place.line, place.column, "spec.program.weights.path", "",
                              "program gpt alone",
                              "does not belong to program bench: program gpt alone can start from "
                              "weights that others have saved"});
  }

  // A CPU would not read them, and on `auto` nobody knows what they mean.
  void OnlyWithCuda() {
    const ProgramConfig& config = spec_.program.config;
    if (spec_.program.builtin != Builtin::kGpt || config.device == DeviceRequest::kCuda) return;
    if (!Read({"spec.program.config.recompute", "spec.program.config.matmulTable",
               "spec.program.config.device"})) {
      return;
    }
    const std::string device = FieldText(*FindField("spec.program.config.device"), result_.job);
    const std::string where = " where device is " + device + "; with device cuda ";
    if (config.recompute != 0) {
      Error("spec.program.config.recompute", std::to_string(config.recompute),
            "0" + where + "0 to 2");
    }
    if (!config.matmul_table.empty()) {
      Error("spec.program.config.matmulTable", config.matmul_table, "empty" + where + "a file");
    }
  }

  void SlotsPerMember() {
    const std::int64_t members =
        std::int64_t{spec_.workers.replicas} * spec_.workers.processes_per_worker;
    const std::int64_t slots = spec_.training.slots;
    if (!result_.errors.empty() || members < 2 || slots >= 8 * members) return;
    auto each = [slots](std::int64_t n) { return (slots + n - 1) / n; };
    const double factor =
        static_cast<double>(each(members - 1)) / static_cast<double>(each(members));
    const std::string text = base::Fixed2(factor);
    Warn("spec.training.slots",
         std::to_string(slots) + " is less than 8 for each of " + std::to_string(members) +
             " members: after the loss of one a step takes " + text + " times as long (" +
             std::to_string(each(members - 1)) + " slots a member instead of " +
             std::to_string(each(members)) + "); from " + std::to_string(8 * members) +
             " slots on it is hardly felt");
  }

  void Warmup() {
    const ProgramConfig& config = spec_.program.config;
    if (!result_.errors.empty() || spec_.program.builtin != Builtin::kGpt) return;
    if (config.warmup_steps <= spec_.training.steps) return;
    Warn("spec.program.config.warmupSteps", std::to_string(config.warmup_steps) +
                                                " is more than training.steps (" +
                                                std::to_string(spec_.training.steps) +
                                                "): the learning rate never reaches learningRate");
  }

  void DataOfBench() {
    if (spec_.program.builtin != Builtin::kBench || spec_.data.path.empty()) return;
    Warn("spec.data.path", "program bench reads no data: this has no effect");
  }

  const Places& places_;
  const Places& broken_;
  ValidationResult& result_;
  const TrainingJobSpec& spec_;
};

}  // namespace

void CheckRules(const Places& places, const Places& broken, ValidationResult& result) {
  Rules(places, broken, result).CheckAll();
}

}  // namespace muster::api
