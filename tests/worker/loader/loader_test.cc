#include "worker/loader/loader.h"

#include <gtest/gtest.h>

#include <fstream>

namespace muster::loader {
namespace {

constexpr auto kAbsent = absl::StatusCode::kNotFound;
constexpr auto kOfNoUse = absl::StatusCode::kFailedPrecondition;

TEST(LoaderTest, GivesTheFunctionsOfALibrary) {
  const auto library = Open(FAKE_NEEDED);
  ASSERT_TRUE(library.ok()) << library.status();
  int (*needed)() = nullptr;
  ASSERT_TRUE(Find(*library, "needed", needed).ok());
  EXPECT_EQ(needed(), 7);
  const absl::Status missing = Find(*library, "needing", needed);
  EXPECT_EQ(missing.code(), kOfNoUse);
  EXPECT_EQ(base::Message(missing), "it has no function needing");
  EXPECT_EQ(needed, nullptr);
  Close(*library);
}

TEST(LoaderTest, AFileThatIsNotThereIsAbsentByPathAndByName) {
  for (const std::string name : {"/nonexistent/libnone.so.1", "libnone-of-no-machine.so.1"}) {
    const absl::Status status = Open(name).status();
    EXPECT_EQ(status.code(), kAbsent) << name;
    EXPECT_EQ(base::Message(status),
              name + ": cannot open shared object file: No such file or directory");
  }
}

TEST(LoaderTest, ALibraryWhoseNeedIsAbsentIsThereAndOfNoUse) {
  const absl::Status status = Open(FAKE_NEEDING).status();
  EXPECT_EQ(status.code(), kOfNoUse);
  EXPECT_EQ(base::Message(status),
            "libneeded-of-no-machine.so.1: cannot open shared object file: No such file or "
            "directory");
}

TEST(LoaderTest, AFileThatIsNoLibraryIsThereAndOfNoUse) {
  const std::string path = testing::TempDir() + "muster-loader-text.so";
  std::ofstream(path) << std::string(1000, 'x');
  const absl::Status status = Open(path).status();
  EXPECT_EQ(status.code(), kOfNoUse);
  EXPECT_EQ(base::Message(status), path + ": invalid ELF header");
}

}  // namespace
}  // namespace muster::loader
