#include "worker/device/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace muster::device {
namespace {

using testing::HasSubstr;

std::string FakeModule(const std::string& name) {
  return std::string(MUSTER_FAKES) + "/lib" + name + ".so";
}

TEST(ModuleTest, OneOfThisBuildServes) {
  const auto loaded = LoadModule(FakeModule("fake_module_good"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(FindingOf(loaded), ModuleFindings(RightModule{"sm_80"}));
}

TEST(ModuleTest, AnotherInterfaceIsRefusedBeforeTheBuildIsRead) {
  const std::string path = FakeModule("fake_module_interface");
  EXPECT_EQ(FindingOf(LoadModule(path)),
            ModuleFindings(OtherModule{"the CUDA module has interface 77, this program speaks " +
                                       std::to_string(MUSTER_CUDA_INTERFACE) + ": " + path}));
}

TEST(ModuleTest, AnotherBuildIsRefusedWithBoth) {
  const std::string path = FakeModule("fake_module_build");
  EXPECT_EQ(FindingOf(LoadModule(path)),
            ModuleFindings(OtherModule{"the CUDA module is of build \"another\", this program "
                                       "needs \"" +
                                       ExpectedModuleBuild() + "\": " + path}));
}

TEST(ModuleTest, AnotherLibraryIsNoModule) {
  const ModuleFindings found = FindingOf(LoadModule(FakeModule("fake_cuda_good")));
  ASSERT_TRUE(std::holds_alternative<OtherModule>(found));
  EXPECT_THAT(std::get<OtherModule>(found).why, HasSubstr("no function muster_cuda_module"));
}

TEST(ModuleTest, OneThatCannotBeLoadedIsNoneAndNotAnother) {
  const std::string path = testing::TempDir() + "muster-module-text.so";
  std::ofstream(path) << std::string(1000, 'x');
  EXPECT_EQ(FindingOf(LoadModule(path)), ModuleFindings(NoModule{path + ": invalid ELF header"}));
}

TEST(ModuleTest, AnAbsentOneIsNamed) {
  const ModuleFindings found = FindingOf(LoadModule(FakeModule("absent")));
  ASSERT_TRUE(std::holds_alternative<NoModule>(found));
  EXPECT_THAT(std::get<NoModule>(found).why, HasSubstr("libabsent.so"));
}

}  // namespace
}  // namespace muster::device
