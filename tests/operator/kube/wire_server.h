// A server that speaks HTTP byte by byte, so that a test decides where a chunk ends, when nothing comes,
// and where a connection breaks. With TLS when it is given an identity.
//
// A thread for each connection. The handler is called for each request on that thread; what it writes
// goes out at once. Everything ends with the server, also a handler that waits in Connection::Sleep.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "operator/base/time.h"
#include "tests/operator/kube/test_pki.h"

struct ssl_ctx_st;
struct ssl_st;

namespace muster::kube {

struct WireRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string peer;         // common name of the client's certificate; empty: none
  std::string server_name;  // that the client asked for (SNI)
  int connection = 0;       // which one, from 0
};

class WireConnection {
 public:
  virtual ~WireConnection() = default;
  // False: the client has gone.
  virtual bool Write(const std::string& bytes) = 0;
  bool WriteHead(int code, const std::string& headers);  // "A: b\r\n" for each
  bool WriteChunk(const std::string& bytes);
  bool Reply(int code, const std::string& body, const std::string& headers = "");
  // False: the server is ending, or the client has gone.
  virtual bool Sleep(base::Duration wait) = 0;
};

// False: the connection is closed, without another word.
using WireHandler = std::function<bool(const WireRequest&, WireConnection&)>;

class WireServer {
 public:
  struct Tls {
    Identity identity;
    std::string client_ca_pem;  // not empty: clients must show a certificate of it
  };
  explicit WireServer(WireHandler handler) : WireServer(std::move(handler), nullptr) {}
  WireServer(WireHandler handler, const Tls* tls);
  ~WireServer();
  WireServer(const WireServer&) = delete;
  WireServer& operator=(const WireServer&) = delete;

  int port() const { return port_; }
  std::string url() const;
  int connections() const { return connections_; }
  int open() const { return open_; }
  // Closes what is open, as a crash does; new ones are taken.
  void CutAll();

 private:
  void Accept();
  void Serve(int fd, int number);

  const WireHandler handler_;
  ssl_ctx_st* tls_ = nullptr;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<int> open_{0};
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::vector<int> fds_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace muster::kube
