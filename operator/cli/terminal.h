// Paints a few lines again and again in place on a terminal, and leaves it as it was.
//
// One thread. The destructor shows the cursor again and leaves the last picture standing.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

namespace muster::cli {

struct TerminalSize {
  std::size_t width = 80;
  std::size_t height = 24;
};

// Of the terminal behind `fd`; 80 x 24 where it does not say.
TerminalSize SizeOf(int fd);

// Whether `fd` is a terminal that can move its cursor (TERM is set and not "dumb").
bool CanPaint(int fd);

class Terminal final {
 public:
  explicit Terminal(std::ostream& out);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Replaces what was painted last.
  void Paint(const std::vector<std::string>& lines);

 private:
  std::ostream& out_;
  std::size_t painted_ = 0;
};

}  // namespace muster::cli
