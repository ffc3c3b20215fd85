// Where the record lives: the seam behind M1's Persist, and its one-machine form.
//
// Persist is a compare-and-swap: it succeeds only while `expected` is what is stored (none: nothing
// yet). One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "operator/api/view.h"
#include "operator/base/status.h"

namespace muster::app {

class RecordStore {
 public:
  virtual ~RecordStore() = default;
  virtual absl::StatusOr<std::optional<api::Record>> Read() = 0;
  // `current` is what is stored afterwards, as far as it can be read; set for kConflict and
  // kUnknown.
  virtual api::PersistOutcome Persist(const std::optional<api::Record>& expected,
                                      const api::Record& next,
                                      std::optional<api::Record>* current) = 0;
};

// One file per version, `<version>.json`, written to a temporary, synced, and given its name by
// link(2): EEXIST is the conflict. A rename would overwrite the other writer's version and tell
// nobody.
class FileRecordStore final : public RecordStore {
 public:
  // The directory exists. Removes what a crash has left half-written.
  static absl::StatusOr<std::unique_ptr<FileRecordStore>> Open(std::string directory);

  absl::StatusOr<std::optional<api::Record>> Read() override;
  api::PersistOutcome Persist(const std::optional<api::Record>& expected, const api::Record& next,
                              std::optional<api::Record>* current) override;

  // Versions that are kept besides the newest, for people who look into a state directory.
  static constexpr std::uint64_t kKept = 4;

 private:
  explicit FileRecordStore(std::string directory) : directory_(std::move(directory)) {}
  std::string PathOf(std::uint64_t version) const;
  absl::StatusOr<std::optional<std::uint64_t>> Newest() const;
  api::PersistOutcome Answer(api::PersistOutcome outcome, std::optional<api::Record>* current);
  void RemoveOld(std::uint64_t newest) const;

  const std::string directory_;
};

}  // namespace muster::app
