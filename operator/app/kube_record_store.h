// The record of one job in its status on Kubernetes: RecordStore over operator/kube's patch.
//
// It stands in this layer because the seam does; what the patch says is operator/kube's
// (record_patch.h). One thread; each call blocks for its requests.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "operator/app/record_store.h"
#include "operator/kube/client.h"
#include "operator/kube/record_patch.h"
#include "operator/runtime/log.h"

namespace muster::app {

class KubeRecordStore final : public RecordStore {
 public:
  // `client` outlives it, and `log`, which is told (once, until it changes) why an outcome is not
  // known; it may be null. Nothing is read before the first call.
  KubeRecordStore(const kube::Client& client, kube::ObjectKey job, std::string uid,
                  kube::Call call = {}, const runtime::Logger* log = nullptr)
      : client_(client),
        job_(std::move(job)),
        uid_(std::move(uid)),
        call_(std::move(call)),
        log_(log) {}

  // NotFound: there is no such job, or another one has taken its name.
  absl::StatusOr<std::optional<api::Record>> Read() override;
  // kConflict only when another record was read afterwards. A job that is gone is kUnknown without
  // a record: whoever asks goes on asking until it is told of the job's end.
  api::PersistOutcome Persist(const std::optional<api::Record>& expected, const api::Record& next,
                              std::optional<api::Record>* current) override;

  // A first write meets a status that somebody has made meanwhile; it is tried so often.
  static constexpr int kTries = 3;

 private:
  absl::StatusOr<kube::StoredRecord> ReadStored() const;
  api::PersistOutcome NotKnown(const absl::Status& why);

  const kube::Client& client_;
  const kube::ObjectKey job_;
  const std::string uid_;
  const kube::Call call_;
  const runtime::Logger* const log_;
  std::string told_;  // the last trouble in the log
  // Of the last read or write; none: not known.
  std::optional<kube::StatusShape> shape_;
};

}  // namespace muster::app
