// The audit: one JSON line per committed step, which samples each member's loader read for each
// slot.
//
// One thread. A line is in the file (and survives the death of this process) before Append returns;
// after a restart the file itself says which step was written last, so none is missing and none is
// twice. A coordinator that was frozen and has a successor by now finds the file longer than it left it,
// and writes no more; only a write of both in the same instant could pass.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/local/unique_fd.h"
#include "operator/membership/machine.h"

namespace muster::app {

class AuditLog final {
 public:
  // Appends to an existing file. A line that a crash has cut short is removed.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(const std::string& path);

  // A step that is there already is not written again. Aborted: somebody else has written; whoever is
  // still the one to write opens the file anew.
  absl::Status Append(const membership::StepCommitted& step, base::WallTime now);
  // The state is that of `step` again; steps after it will come a second time.
  absl::Status RollBack(base::Step step);

  base::Step last() const { return last_; }

 private:
  AuditLog(std::string path, local::UniqueFd fd, base::Step last, std::int64_t length)
      : path_(std::move(path)), fd_(std::move(fd)), last_(last), length_(length) {}
  absl::Status WriteLine(const std::string& line);

  const std::string path_;
  local::UniqueFd fd_;
  base::Step last_;
  std::int64_t length_;  // as it was left; -1: no regular file, which has none
};

}  // namespace muster::app
