// A wire between clients and a server that a test can stall or break as a machine's death would.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace muster::rpc {

// A TCP socket on the loopback interface, bound to `port` (0: any free one).
class LoopbackSocket {
 public:
  enum class Kind {
    kReserved,   // SO_REUSEPORT, does not listen: keeps the port for others that do the same
    kListening,  // takes the port for itself; what connects is never answered
  };
  explicit LoopbackSocket(Kind kind, int port = 0);
  ~LoopbackSocket();
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;
  int port() const { return port_; }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  int port_ = 0;
};

// Passes bytes between whoever connects to port() and the server on `target_port`.
class Relay {
 public:
  explicit Relay(int target_port);
  ~Relay();
  int port() const { return listener_.port(); }
  int accepted() const { return accepted_; }  // connections so far
  // Resets every connection, at both ends.
  void ResetAll();
  // Bytes stay where they are until Resume(); connections remain open.
  void Stall() { stalled_ = true; }
  void Resume() { stalled_ = false; }

 private:
  struct Pair {
    int client;
    int server;
  };
  void Loop(std::stop_token stop);
  void Accept();
  // False: one end has closed.
  bool Pass(int from, int to);

  const int target_port_;
  LoopbackSocket listener_;
  std::mutex mutex_;
  std::vector<Pair> pairs_;  // guarded by mutex_
  std::atomic<bool> stalled_ = false;
  std::atomic<int> accepted_ = 0;
  std::jthread thread_;
};

}  // namespace muster::rpc
