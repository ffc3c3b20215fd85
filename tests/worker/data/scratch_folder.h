// A folder for one test's files, removed with everything in it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace muster::data {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = testing::TempDir() + "muster-data-XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  std::string Write(const std::string& name, const std::string& content) const {
    const std::filesystem::path path = path_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  void Link(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, path_ + "/" + name);
  }

 private:
  std::string path_;
};

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
