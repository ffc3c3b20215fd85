// Inside worker/rpc: what the application has still to be told about its streams, in order.
//
// Bounded: reading stops when it is full, and a stream of whose beginning the application has not
// heard is forgotten when it ends, however often the coordinator comes and goes. Guarded by the
// client's lock.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "operator/api/messages.h"

namespace muster::rpc {

struct StreamUp {};
struct StreamDown {};
using Incoming = std::variant<StreamUp, StreamDown, api::FromCoordinator>;

class Inbox {
 public:
  explicit Inbox(std::size_t capacity) : capacity_(capacity) {}

  void BeginStream() { waiting_.push_back(StreamUp{}); }
  void Add(api::FromCoordinator message) { waiting_.push_back(std::move(message)); }
  void EndStream() {
    const auto unheard = std::ranges::find_if(
        waiting_, [](const Incoming& in) { return std::holds_alternative<StreamUp>(in); });
    if (unheard == waiting_.end()) {
      waiting_.push_back(StreamDown{});
    } else {
      waiting_.erase(unheard, waiting_.end());
    }
  }
  std::optional<Incoming> Take() {
    if (waiting_.empty()) return std::nullopt;
    std::optional<Incoming> next(std::move(waiting_.front()));
    waiting_.pop_front();
    return next;
  }
  bool full() const { return waiting_.size() >= capacity_; }

 private:
  const std::size_t capacity_;
  std::deque<Incoming> waiting_;
};

}  // namespace muster::rpc
