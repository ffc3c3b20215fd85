// Token files as strings, for the tests of this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/worker/scratch_folder.h"

namespace muster::data {

// Little-endian uint16s as bytes.
inline std::string Tokens16(const std::vector<std::uint16_t>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size() * 2};
}

// An llm.c file with the given header fields.
inline std::string Llmc(const std::vector<std::uint16_t>& tokens, std::int32_t said,
                        std::int32_t magic = 20240520, std::int32_t version = 1) {
  std::vector<std::int32_t> header(256);
  header[0] = magic;
  header[1] = version;
  header[2] = said;
  return std::string(reinterpret_cast<const char*>(header.data()), 1024) + Tokens16(tokens);
}

}  // namespace muster::data
