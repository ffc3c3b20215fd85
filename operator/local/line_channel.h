// One end of a stream socket that carries lines: JSON documents, one a line, both ways.
//
// One thread. Non-blocking: bytes that do not fit into the socket wait here, up to kMostPending; a
// peer that takes nothing for so long is given up.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/local/unique_fd.h"

namespace muster::local {

class LineChannel final {
 public:
  explicit LineChannel(UniqueFd fd);

  // Lines that have arrived whole. Nothing at all: the peer is gone (closed() is true from then
  // on).
  std::vector<std::string> Read();
  void Write(std::string_view line);  // without its newline
  // Writes what waits, as far as the socket takes it.
  void Flush();

  bool closed() const { return closed_; }
  bool wants_to_write() const { return !closed_ && !pending_.empty(); }
  int fd() const { return fd_.get(); }

  // A status with all rescales of a long job is far below this.
  static constexpr std::size_t kMostPending = std::size_t{64} << 20;

 private:
  UniqueFd fd_;
  std::string incoming_;
  std::string pending_;
  bool closed_ = false;
};

}  // namespace muster::local
