#include "operator/local/line_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace muster::local {

LineChannel::LineChannel(UniqueFd fd) : fd_(std::move(fd)) {
  fcntl(fd_.get(), F_SETFL, fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
}

std::vector<std::string> LineChannel::Read() {
  std::array<char, 1 << 16> chunk;
  while (!closed_) {
    const ssize_t n = read(fd_.get(), chunk.data(), chunk.size());
    if (n > 0) {
      incoming_.append(chunk.data(), static_cast<std::size_t>(n));
      if (incoming_.size() > kMostPending) closed_ = true;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    closed_ = true;
  }
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (auto end = incoming_.find('\n'); end != std::string::npos;
       end = incoming_.find('\n', begin)) {
    lines.push_back(incoming_.substr(begin, end - begin));
    begin = end + 1;
  }
  incoming_.erase(0, begin);
  return lines;
}

void LineChannel::Write(std::string_view line) {
  if (closed_) return;
  pending_.append(line);
  pending_.push_back('\n');
  Flush();
}

void LineChannel::Flush() {
  std::size_t done = 0;
  while (!closed_ && done < pending_.size()) {
    const ssize_t n = send(fd_.get(), pending_.data() + done, pending_.size() - done, MSG_NOSIGNAL);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      closed_ = true;
    }
  }
  pending_.erase(0, done);
  if (pending_.size() > kMostPending) closed_ = true;
}

}  // namespace muster::local
