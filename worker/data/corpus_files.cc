// Walks a data path: links resolved, each file once, byte order of the relative name.
#include "worker/data/corpus_files.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

namespace muster::data {
namespace {

using Identity = std::pair<dev_t, ino_t>;

struct Entry {
  CorpusFile file;
  Identity identity;
};

absl::StatusOr<struct stat> Inspect(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) return info;
  const std::string sentence = path + ": " + base::ErrnoText(errno);
  if (errno == ENOENT) {
    return base::NotFound(
        sentence + "; the data path and every link in it must lead to something that exists");
  }
  return base::FailedPrecondition(sentence + "; everything under the data path must be readable");
}

absl::StatusOr<std::vector<std::string>> Names(const std::string& folder) {
  DIR* stream = ::opendir(folder.c_str());
  if (stream == nullptr) {
    return base::FailedPrecondition("cannot read the folder " + folder + ": " +
                                    base::ErrnoText(errno) +
                                    "; everything under the data path must be readable");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(stream);
  return names;
}

// Folders are entered in byte order of their paths, and each once: of several paths to a folder the
// first one reached is then the first in byte order, so no file gets another name by that. Links in
// circles, or from many folders to each other, would otherwise make paths without end.
absl::Status Walk(const std::string& path, const std::string& prefix, std::set<Identity>& entered,
                  std::vector<Entry>& found) {
  MUSTER_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(path));
  std::map<std::string, Identity> folders;  // by name with the slash that counts in the order
  for (const std::string& name : names) {
    MUSTER_ASSIGN_OR_RETURN(const struct stat info, Inspect(path + "/" + name));
    const Identity identity{info.st_dev, info.st_ino};
    if (S_ISREG(info.st_mode)) found.push_back({{prefix + name, path + "/" + name}, identity});
    if (S_ISDIR(info.st_mode)) folders.emplace(name + "/", identity);
  }
  for (const auto& [name, identity] : folders) {
    if (!entered.insert(identity).second) continue;
    MUSTER_RETURN_IF_ERROR(
        Walk(path + "/" + name.substr(0, name.size() - 1), prefix + name, entered, found));
  }
  return absl::OkStatus();
}

std::string BaseName(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

absl::Status NotAFile(const std::string& path) {
  return base::FailedPrecondition(
      path + " is neither a regular file nor a folder; the data path must be one of the two");
}

void SortByName(std::vector<Entry>& entries) {
  // std::string compares bytes as unsigned char: the same order on every machine and locale.
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.file.name < b.file.name; });
}

std::vector<CorpusFile> EachOnce(std::vector<Entry> entries) {
  SortByName(entries);
  std::set<Identity> seen;
  std::vector<CorpusFile> files;
  for (Entry& entry : entries) {
    if (seen.insert(entry.identity).second) files.push_back(std::move(entry.file));
  }
  return files;
}

}  // namespace

absl::StatusOr<std::vector<CorpusFile>> ListTextFiles(const std::string& path) {
  MUSTER_ASSIGN_OR_RETURN(const struct stat info, Inspect(path));
  if (S_ISREG(info.st_mode)) return std::vector<CorpusFile>{{BaseName(path), path}};
  if (!S_ISDIR(info.st_mode)) return NotAFile(path);
  std::vector<Entry> found;
  std::set<Identity> entered{{info.st_dev, info.st_ino}};
  MUSTER_RETURN_IF_ERROR(Walk(path, "", entered, found));
  if (found.empty()) {
    return base::FailedPrecondition(
        path +
        " holds no regular file (names that start with a dot do not count); "
        "format text needs at least one");
  }
  return EachOnce(std::move(found));
}

absl::StatusOr<std::vector<CorpusFile>> ListTokenFiles(const std::string& path) {
  MUSTER_ASSIGN_OR_RETURN(const struct stat info, Inspect(path));
  if (S_ISREG(info.st_mode)) return std::vector<CorpusFile>{{BaseName(path), path}};
  if (!S_ISDIR(info.st_mode)) return NotAFile(path);
  MUSTER_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(path));
  std::vector<Entry> found;
  for (const std::string& name : names) {
    if (!name.ends_with(".bin")) continue;
    const std::string child = path + "/" + name;
    MUSTER_ASSIGN_OR_RETURN(const struct stat child_info, Inspect(child));
    if (!S_ISREG(child_info.st_mode)) {
      return base::FailedPrecondition(
          child + " is not a regular file; token files (*.bin) must be regular files");
    }
    found.push_back({{name, child}, {child_info.st_dev, child_info.st_ino}});
  }
  if (found.empty()) {
    return base::FailedPrecondition(
        path + " holds no token file; a folder of tokens needs at least one *.bin");
  }
  return EachOnce(std::move(found));
}

}  // namespace muster::data
