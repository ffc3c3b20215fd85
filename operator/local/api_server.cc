#include "operator/local/api_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace muster::local {
namespace {

absl::StatusOr<std::string> MakeShortDirectory() {
  std::string base = "/tmp";
  // The user's own runtime directory when there is one that can be used.
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR");
      runtime != nullptr && std::strlen(runtime) < 64 && access(runtime, W_OK) == 0) {
    base = runtime;
  }
  std::string path = base + "/muster-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return base::Internal("cannot make a directory in " + base +
                          " for the cluster's socket: " + base::ErrnoText(errno));
  }
  return path;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Create() {
  MUSTER_ASSIGN_OR_RETURN(std::string directory, MakeShortDirectory());
  const std::string path = directory + "/api";
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const bool bound =
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  if (!bound || listen(listener.get(), 4) != 0) {
    const std::string error = base::ErrnoText(errno);
    rmdir(directory.c_str());
    return base::Internal("cannot listen on " + path + ": " + error);
  }
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(directory), std::move(listener)));
}

ApiServer::ApiServer(std::string directory, UniqueFd listener)
    : directory_(std::move(directory)),
      path_(directory_ + "/api"),
      listener_(std::move(listener)) {}

ApiServer::~ApiServer() {
  unlink(path_.c_str());
  rmdir(directory_.c_str());
}

ApiServer::Arrived ApiServer::Poll() {
  Arrived arrived;
  if (channel_) {
    channel_->Flush();
    for (const std::string& line : channel_->Read()) {
      auto request = DecodeCoordinatorRequest(line);
      if (request.ok()) {
        arrived.requests.push_back(std::move(*request));
      } else {
        arrived.errors.push_back(base::Message(request.status()));
      }
    }
    if (channel_->closed()) Disconnect();
  }
  const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    channel_.emplace(UniqueFd(fd));
    opened_ = false;
    arrived.connected = true;
  }
  return arrived;
}

void ApiServer::Send(const ClusterMessage& message) {
  if (!channel_) return;
  // Between its connection and its Opening a change says nothing that the Opening does not.
  const bool opening = std::holds_alternative<Opening>(message);
  if (!opening && !opened_) return;
  opened_ = true;
  channel_->Write(Encode(message));
}

void ApiServer::Disconnect() {
  channel_.reset();
  opened_ = false;
}

std::vector<ApiServer::Interest> ApiServer::interests() const {
  std::vector<Interest> all = {{listener_.get(), false}};
  if (channel_) all.push_back({channel_->fd(), channel_->wants_to_write()});
  return all;
}

}  // namespace muster::local
