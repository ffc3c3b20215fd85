// Paints a few lines again and again in place on a terminal, and leaves it as it was.
//
// One thread. The last picture stays standing. Nothing is switched that would have to be switched
// back (the cursor stays visible, below the picture): whoever is killed with -9 cannot do that.
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

// Whether the locale of the environment says UTF-8; if not, block characters become ASCII.
bool PaintsUtf8();

class Terminal final {
 public:
  Terminal(std::ostream& out, bool utf8) : out_(out), utf8_(utf8) {}
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Replaces what was painted last, on a terminal that has `width` columns by now: where it has
  // become narrower, what was painted last has been wrapped and takes more rows.
  void Paint(const std::vector<std::string>& lines, std::size_t width);

 private:
  std::size_t RowsOfLast(std::size_t width) const;

  std::ostream& out_;
  const bool utf8_;
  std::vector<std::size_t> last_;  // columns of each line of the last picture
};

}  // namespace muster::cli
