#include "tests/kube/http_message.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace muster::kubetest {
namespace {

bool SameText(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

std::string HeaderOf(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && SameText(line.substr(0, colon), name)) {
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      return std::string(value);
    }
    if (end == std::string_view::npos) break;
    head.remove_prefix(end + 2);
  }
  return "";
}

std::string Hex(std::size_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value, 16);
  return std::string(digits, end.ptr);
}

// The body in chunks that begins at `at`: sets `at` behind it. False: not whole yet.
bool TakeChunks(const std::string& buffer, std::size_t* at, std::string* body, bool* broken) {
  for (;;) {
    const std::size_t end = buffer.find("\r\n", *at);
    if (end == std::string::npos) return false;
    std::size_t size = 0;
    const auto read = std::from_chars(buffer.data() + *at, buffer.data() + end, size, 16);
    if (read.ec != std::errc()) {
      *broken = true;
      return false;
    }
    const std::size_t begin = end + 2;
    if (buffer.size() < begin + size + 2) return false;
    body->append(buffer, begin, size);
    *at = begin + size + 2;
    if (size == 0) return true;
  }
}

}  // namespace

std::optional<Request> TakeRequest(std::string& buffer, bool* broken) {
  const std::size_t head_end = buffer.find("\r\n\r\n");
  if (head_end == std::string::npos) {
    *broken = buffer.size() > (1 << 16);
    return std::nullopt;
  }
  const std::string head = buffer.substr(0, head_end);
  const std::size_t first = head.find("\r\n");
  const std::string line = head.substr(0, first);
  const std::size_t space = line.find(' ');
  const std::size_t second = line.find(' ', space + 1);
  if (space == std::string::npos || second == std::string::npos) {
    *broken = true;
    return std::nullopt;
  }
  Request request;
  std::size_t at = head_end + 4;
  if (SameText(HeaderOf(head, "Transfer-Encoding"), "chunked")) {
    if (!TakeChunks(buffer, &at, &request.body, broken)) return std::nullopt;
  } else {
    const std::string length = HeaderOf(head, "Content-Length");
    std::size_t size = 0;
    std::from_chars(length.data(), length.data() + length.size(), size);
    if (buffer.size() < at + size) return std::nullopt;
    request.body = buffer.substr(at, size);
    at += size;
  }
  request.method = line.substr(0, space);
  SetTarget(request, std::string_view(line).substr(space + 1, second - space - 1));
  request.content_type = HeaderOf(head, "Content-Type");
  request.user_agent = HeaderOf(head, "User-Agent");
  buffer.erase(0, at);
  return request;
}

std::string AnswerText(const Answer& answer) {
  const bool text = answer.body.is_string();
  const std::string body = text ? answer.body.get<std::string>()
                                : answer.body.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out = "HTTP/1.1 " + std::to_string(answer.code) + " " +
                    (answer.code < 300 ? "OK" : std::string(ReasonOf(answer.code))) + "\r\n";
  out += std::string("Content-Type: ") + (text ? "text/plain" : "application/json") + "\r\n";
  for (const auto& [name, value] : answer.headers) out += name + ": " + value + "\r\n";
  return out + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string ChunkedHead() {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
}

std::string Chunk(std::string_view text) {
  return Hex(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

}  // namespace muster::kubetest
