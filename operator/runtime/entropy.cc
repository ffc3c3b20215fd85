#include "operator/runtime/entropy.h"

#include <sys/random.h>

#include <cerrno>

#include "operator/base/check.h"

namespace muster::runtime {
namespace {

void Fill(void* out, std::size_t size) {
  auto* at = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    // It fails only on a bad pointer or a kernel before 3.17.
    MUSTER_CHECK(got > 0, "getrandom failed");
    at += got;
    size -= static_cast<std::size_t>(got);
  }
}

}  // namespace

std::uint64_t RandomNumber() {
  std::uint64_t value;
  Fill(&value, sizeof(value));
  return value;
}

std::string RandomToken(std::size_t bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string raw(bytes, '\0');
  Fill(raw.data(), raw.size());
  std::string out;
  for (unsigned char c : raw) {
    out.push_back(kDigits[c >> 4]);
    out.push_back(kDigits[c & 15]);
  }
  return out;
}

}  // namespace muster::runtime
