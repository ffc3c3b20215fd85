#include "operator/local/api_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace muster::local {

absl::StatusOr<std::unique_ptr<ApiClient>> ApiClient::Connect(const std::string& path,
                                                              Options options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return base::InvalidArgument("--socket '" + path + "' is longer than a socket's path may be (" +
                                 std::to_string(sizeof(address.sun_path) - 1) + " bytes)");
  }
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return base::Unavailable("no cluster answers at " + path + ": " + base::ErrnoText(errno) +
                             "; `muster coordinator` is started by `muster run`");
  }
  return Adopt(std::move(fd), std::move(options));
}

std::unique_ptr<ApiClient> ApiClient::Adopt(UniqueFd fd, Options options) {
  return std::unique_ptr<ApiClient>(new ApiClient(std::move(fd), std::move(options)));
}

ApiClient::ApiClient(UniqueFd fd, Options options)
    : fd_(std::move(fd)), options_(std::move(options)) {
  reader_ = std::jthread([this] { ReadLoop(); });
  writer_ = std::jthread([this] { WriteLoop(); });
}

ApiClient::~ApiClient() {
  outgoing_.Close();
  // A cluster that reads no more must not keep us.
  const timeval second{1, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
  writer_.join();
  shutdown(fd_.get(), SHUT_RDWR);
  reader_.join();
}

void ApiClient::Send(const CoordinatorRequest& request) { outgoing_.Push(Encode(request) + "\n"); }

void ApiClient::ReadLoop() {
  std::array<char, 1 << 16> chunk;
  std::string incoming;
  std::string why = "the cluster has closed its socket";
  while (true) {
    const ssize_t n = recv(fd_.get(), chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    incoming.append(chunk.data(), static_cast<std::size_t>(n));
    std::size_t begin = 0;
    for (auto end = incoming.find('\n'); end != std::string::npos;
         end = incoming.find('\n', begin)) {
      auto message = DecodeClusterMessage(std::string_view(incoming).substr(begin, end - begin));
      begin = end + 1;
      if (message.ok()) {
        options_.on_message(std::move(*message));
      } else {
        why = "the cluster said something strange: " + base::Message(message.status());
        shutdown(fd_.get(), SHUT_RDWR);
      }
    }
    incoming.erase(0, begin);
  }
  options_.on_closed(why);
}

void ApiClient::WriteLoop() {
  bool open = true;
  while (auto line = outgoing_.Pop()) {
    std::size_t done = 0;
    while (open && done < line->size()) {
      const ssize_t n = send(fd_.get(), line->data() + done, line->size() - done, MSG_NOSIGNAL);
      if (n > 0) {
        done += static_cast<std::size_t>(n);
      } else if (errno != EINTR) {
        // The reader sees the end as well and says so; what comes after it has nobody to hear it.
        open = false;
      }
    }
  }
}

}  // namespace muster::local
