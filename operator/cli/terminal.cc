// ANSI sequences that every terminal of the last decades knows; one write a picture, so nothing
// flickers.
#include "operator/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <ostream>
#include <string_view>

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

Terminal::Terminal(std::ostream& out) : out_(out) { out_ << "\x1b[?25l" << std::flush; }

Terminal::~Terminal() { out_ << "\x1b[?25h" << std::flush; }

void Terminal::Paint(const std::vector<std::string>& lines) {
  std::string picture;
  if (painted_ > 0) picture += "\x1b[" + std::to_string(painted_) + "A";
  picture += "\r";
  // Each line is cleared behind its end; what a taller picture left below is cleared at last.
  for (const std::string& line : lines) picture += line + "\x1b[K\n";
  picture += "\x1b[J";
  painted_ = lines.size();
  out_ << picture << std::flush;
}

}  // namespace muster::cli
