// The cluster's end of the Unix socket: listens, holds the one coordinator that is connected.
//
// One thread. A coordinator that connects takes the place of the one before it, whose requests are
// heard no more: that is what makes a restart safe here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "operator/local/line_channel.h"
#include "operator/local/protocol.h"

namespace muster::local {

class ApiServer final {
 public:
  struct Arrived {
    bool connected = false;  // a coordinator is new: it needs an Opening before anything else
    std::vector<CoordinatorRequest> requests;
    std::vector<std::string> errors;  // lines that were not understood
  };

  // Makes a directory of its own for the socket, because a socket's path holds at most 107 bytes.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Create();
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Takes what has arrived; never waits.
  Arrived Poll();
  // Dropped when nobody is connected: the next Opening has it all.
  void Send(const ClusterMessage& message);
  // The coordinator has died: what it still had written is taken by Poll() first.
  void Disconnect();

  const std::string& path() const { return path_; }
  // Descriptors to wait for, and whether each also waits for room to write.
  struct Interest {
    int fd = -1;
    bool write = false;
  };
  std::vector<Interest> interests() const;

 private:
  ApiServer(std::string directory, UniqueFd listener);

  std::string directory_;
  std::string path_;
  UniqueFd listener_;
  std::optional<LineChannel> channel_;
  bool opened_ = false;
};

}  // namespace muster::local
