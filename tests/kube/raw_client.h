// Sends bytes to a port of this machine and reads what comes: to see just where an answer breaks.
#pragma once

#include <string>

namespace muster::kubetest {

class RawClient final {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void Send(const std::string& text);
  // Reads until `until` has come or the other end has closed; everything since the last call. At
  // most 20 s.
  std::string ReadUntil(const std::string& until);
  // The other end has closed and nothing more comes.
  bool closed() const { return closed_; }

 private:
  int fd_ = -1;
  std::string buffer_;
  bool closed_ = false;
};

}  // namespace muster::kubetest
