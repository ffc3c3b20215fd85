#include "operator/kube/job_history.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "operator/api/training_job_json.h"
#include "operator/kube/json.h"

namespace muster::kube {
namespace {

constexpr char kRescale[] = "rescale.";
constexpr char kLoss[] = "loss.";
constexpr char kProgress[] = "progress.";

std::string Padded(std::int64_t number, std::size_t digits) {
  std::string text = std::to_string(number);
  return text.size() < digits ? std::string(digits - text.size(), '0') + text : text;
}

// Seconds since 1970 have ten digits until 2286.
std::string Seconds(base::WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  return Padded(seconds, 10);
}

// Keys of one kind, oldest first.
std::vector<std::string> KeysOf(const Json& data, std::string_view kind) {
  std::vector<std::string> keys;
  for (const auto& [key, line] : data.items()) {
    if (key.starts_with(kind)) keys.push_back(key);
  }
  return keys;
}

std::size_t SizeOf(const Json& data) {
  std::size_t bytes = 0;
  for (const auto& [key, line] : data.items()) {
    bytes += key.size() + (line.is_string() ? line.get_ref<const std::string&>().size() : 0);
  }
  return bytes;
}

}  // namespace

void JobHistory::Add(const std::string& key, std::string line, bool is_news) {
  fresh_.insert_or_assign(key, std::move(line));
  news_ = news_ || is_news;
}

void JobHistory::See(const api::TrainingJobStatus& status, base::WallTime now) {
  // With the spellings of the status itself.
  const Json json = Json::parse(api::StatusToJson(status));
  std::map<std::string, std::size_t> seen;
  const auto see = [&](const std::string& key, const Json& entry) {
    std::string line = Dump(entry);
    const std::size_t hash = std::hash<std::string>()(line);
    seen[key] = hash;
    const auto before = seen_.find(key);
    if (before == seen_.end() || before->second != hash) Add(key, std::move(line), true);
  };
  for (std::size_t i = 0; i < status.rescales.size(); ++i) {
    const auto epoch = static_cast<std::int64_t>(status.rescales[i].epoch.value);
    see(kRescale + Padded(epoch, 8), json["rescales"][i]);
  }
  for (std::size_t i = 0; i < status.failures.size(); ++i) {
    const api::FailureEntry& loss = status.failures[i];
    see(kLoss + Seconds(loss.time) + "." + base::ToString(loss.member), json["failures"][i]);
  }
  seen_ = std::move(seen);
  if (status.progress.step <= 0) return;
  Json point = {{"step", status.progress.step}, {"members", status.members}};
  if (!status.progress.loss.empty()) point["loss"] = status.progress.loss;
  if (status.progress.tokens_per_second > 0) {
    point["tokensPerSecond"] = status.progress.tokens_per_second;
  }
  std::string line = Dump(point);
  if (line == last_point_) return;
  last_point_ = line;
  Add(kProgress + Seconds(now), std::move(line), false);
}

std::string JobHistory::TakePatch() {
  taken_ = std::move(fresh_);
  fresh_.clear();
  news_ = false;
  Json data = Json::object();
  for (const auto& [key, line] : taken_) data[key] = line;
  return Dump({{"data", data}});
}

void JobHistory::PutBack() {
  // What came meanwhile is newer.
  fresh_.merge(std::move(taken_));
  taken_.clear();
  news_ = true;
}

absl::StatusOr<std::optional<std::string>> MakePrunePatch(std::string_view config_map_json,
                                                          const HistoryBounds& bounds) {
  MUSTER_ASSIGN_OR_RETURN(Json object, ParseObject(config_map_json, "the history"));
  Json& data = object["data"];
  if (!data.is_object()) return std::optional<std::string>();
  Json gone = Json::object();
  const auto drop = [&](const std::string& key) {
    gone[key] = nullptr;
    data.erase(key);
  };
  const auto drop_oldest = [&](const char* kind, std::size_t most) {
    const std::vector<std::string> keys = KeysOf(data, kind);
    for (std::size_t i = 0; i + most < keys.size(); ++i) drop(keys[i]);
  };
  const auto thin = [&] {
    const std::vector<std::string> keys = KeysOf(data, kProgress);
    for (std::size_t i = 1; i < keys.size(); i += 2) drop(keys[i]);
  };
  drop_oldest(kRescale, bounds.rescales);
  drop_oldest(kLoss, bounds.losses);
  if (KeysOf(data, kProgress).size() > bounds.points) thin();
  // Lines are longer than they ever were: half of each kind, until it fits.
  while (SizeOf(data) > bounds.bytes && data.size() > 1) {
    const std::size_t before = data.size();
    drop_oldest(kRescale, (KeysOf(data, kRescale).size() + 1) / 2);
    drop_oldest(kLoss, (KeysOf(data, kLoss).size() + 1) / 2);
    thin();
    if (data.size() == before) break;
  }
  if (gone.empty()) return std::optional<std::string>();
  return std::optional(Dump({{"data", gone}}));
}

}  // namespace muster::kube
