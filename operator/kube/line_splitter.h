// Lines out of bytes that come in any pieces. Pure; one thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "operator/base/status.h"

namespace muster::kube {

class LineSplitter {
 public:
  explicit LineSplitter(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  // Calls `on_line(line) -> bool` for each line that `bytes` complete, without its break; empty
  // lines are left out. False from it: the rest is dropped, and so is what this returns.
  // ResourceExhausted when a line is longer than it may be.
  template <typename OnLine>
  absl::StatusOr<bool> Feed(std::string_view bytes, OnLine&& on_line) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::string_view piece = bytes.substr(0, end);
      if (rest_.size() + piece.size() > most_bytes_) {
        return base::ResourceExhausted("a line of the answer is longer than " +
                                       std::to_string(most_bytes_) + " bytes");
      }
      if (end == std::string_view::npos) {
        rest_ += piece;
        return true;
      }
      bytes.remove_prefix(end + 1);
      if (rest_.empty()) {
        if (!Tell(piece, on_line)) return false;
        continue;
      }
      rest_ += piece;
      const std::string line = std::exchange(rest_, {});
      if (!Tell(line, on_line)) return false;
    }
    return true;
  }
  // What came after the last break: the last line of a log, or half of a broken event.
  const std::string& rest() const { return rest_; }

 private:
  template <typename OnLine>
  static bool Tell(std::string_view line, OnLine&& on_line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line.empty() || on_line(line);
  }

  const std::size_t most_bytes_;
  std::string rest_;
};

}  // namespace muster::kube
