#include "operator/local/api_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "operator/local/line_channel.h"

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
  // A writer that waits for a cluster that reads no more looks up now and then.
  const timeval look_up{0, 200'000};
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &look_up, sizeof(look_up));
  reader_ = std::jthread([this] { ReadLoop(); });
  writer_ = std::jthread([this] { WriteLoop(); });
}

ApiClient::~ApiClient() {
  outgoing_.Close();
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
    if (incoming.size() > LineChannel::kMostPending) {
      why = "the cluster said a line without an end";
      break;
    }
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
  while (auto line = outgoing_.Pop()) open = open && WriteWhole(*line);
}

// False: it cannot be written any more. The reader sees the end as well and says so; what comes
// after it has nobody to hear it.
bool ApiClient::WriteWhole(std::string_view line) {
  while (!line.empty()) {
    const ssize_t n = send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    if (n > 0) {
      line.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (outgoing_.closed() && !give_up_) give_up_ = clock_.Now() + std::chrono::seconds(1);
    if (give_up_ && clock_.Now() >= *give_up_) return false;
  }
  return true;
}

}  // namespace muster::local
