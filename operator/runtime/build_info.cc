#include "operator/runtime/build_info.h"

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstring>

namespace muster::runtime {
namespace {

std::string Hex(const unsigned char* bytes, std::size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < size; ++i) {
    out.push_back(kDigits[bytes[i] >> 4]);
    out.push_back(kDigits[bytes[i] & 15]);
  }
  return out;
}

// The build id among the notes of one segment; empty when it is not there. Notes are a header, a
// name and a description, each padded to four bytes (eight in segments aligned so).
std::string FindBuildId(const char* at, std::size_t size, std::size_t align) {
  const auto padded = [align](std::size_t n) { return (n + align - 1) / align * align; };
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof(note));
    const std::size_t name_end = sizeof(note) + note.n_namesz;
    const std::size_t description = padded(name_end);
    const std::size_t end = padded(description + note.n_descsz);
    if (description + note.n_descsz > size) return {};
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(at + sizeof(note), "GNU", 4) == 0) {
      return Hex(reinterpret_cast<const unsigned char*>(at + description), note.n_descsz);
    }
    if (end >= size) return {};
    at += end;
    size -= end;
  }
  return {};
}

// The loader names the program itself first; 1 ends the walk after it.
int OnProgram(dl_phdr_info* info, std::size_t, void* out) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
    std::string id = FindBuildId(at, segment.p_memsz, segment.p_align == 8 ? 8 : 4);
    if (id.empty()) continue;
    *static_cast<std::string*>(out) = id;
    break;
  }
  return 1;
}

}  // namespace

std::string_view Version() { return MUSTER_VERSION; }

std::string BuildId() {
  std::string id;
  dl_iterate_phdr(OnProgram, &id);
  return id;
}

}  // namespace muster::runtime
