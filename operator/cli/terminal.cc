// ANSI sequences that every terminal of the last decades knows; one write a picture, so nothing
// flickers.
#include "operator/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <ostream>
#include <string_view>

#include "operator/cli/text.h"

namespace muster::cli {

TerminalSize SizeOf(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

bool CanPaint(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

bool PaintsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string locale(value);
    std::ranges::transform(locale, locale.begin(), [](unsigned char c) { return std::tolower(c); });
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

std::size_t Terminal::RowsOfLast(std::size_t width) const {
  std::size_t rows = 0;
  for (std::size_t columns : last_) {
    rows += width == 0 ? 1 : std::max<std::size_t>(1, (columns + width - 1) / width);
  }
  return rows;
}

void Terminal::Paint(const std::vector<std::string>& lines, std::size_t width) {
  std::string picture;
  if (!last_.empty()) picture += "\x1b[" + std::to_string(RowsOfLast(width)) + "A";
  picture += "\r";
  last_.clear();
  // Each line is cleared behind its end; what a taller picture left below is cleared at last.
  for (const std::string& line : lines) {
    picture += (utf8_ ? line : Ascii(line)) + "\x1b[K\n";
    last_.push_back(Columns(line));
  }
  picture += "\x1b[J";
  out_ << picture << std::flush;
}

}  // namespace muster::cli
