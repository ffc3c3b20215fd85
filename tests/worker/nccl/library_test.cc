// Where NCCL is looked for, what is refused, and how its C functions are called.
#include "worker/nccl/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace muster::nccl {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class LibraryTest : public testing::Test {
 protected:
  LibraryTest() {
    root_ = fs::path(testing::TempDir()) /
            ("muster-nccl-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
    search_.get = [this](const std::string& name) -> std::optional<std::string> {
      const auto it = environment_.find(name);
      if (it == environment_.end()) return std::nullopt;
      return it->second;
    };
    // Whatever this machine has installed is not what is tested.
    search_.soname = "libnccl-of-no-machine.so.2";
    search_.python = "";
  }
  ~LibraryTest() override { fs::remove_all(root_); }

  std::string Wheel(const std::string& python, const std::string& library) {
    const fs::path folder = root_ / "venv/lib" / python / "site-packages/nvidia/nccl/lib";
    fs::create_directories(folder);
    fs::create_symlink(library, folder / "libnccl.so.2");
    environment_["VIRTUAL_ENV"] = root_ / "venv";
    return folder / "libnccl.so.2";
  }
  std::string Python(const std::string& script) {
    const fs::path path = root_ / "python";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  std::string Refused() {
    const auto library = Library::Load(search_);
    return library.ok() ? "" : base::Message(library.status());
  }

  fs::path root_;
  std::map<std::string, std::string> environment_;
  LibrarySearch search_;
};

TEST_F(LibraryTest, TakesTheFileThatIsNamed) {
  environment_["MUSTER_NCCL_LIB"] = FAKE_NCCL_GOOD;
  const auto library = Library::Load(search_);
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_EQ((*library)->path(), FAKE_NCCL_GOOD);
  EXPECT_EQ((*library)->version(), 22809);
  EXPECT_EQ((*library)->VersionText(), "2.28.9");
}

TEST_F(LibraryTest, AFileThatIsNamedIsAllThatIsTried) {
  Wheel("python3.12", FAKE_NCCL_GOOD);
  environment_["MUSTER_NCCL_LIB"] = "/nonexistent/libnccl.so.2";
  EXPECT_EQ(Refused(),
            "MUSTER_NCCL_LIB is /nonexistent/libnccl.so.2: /nonexistent/libnccl.so.2: cannot open "
            "shared object file: No such file or directory");
  environment_["MUSTER_NCCL_LIB"] = FAKE_NCCL_OLD;
  EXPECT_EQ(Refused(), std::string("MUSTER_NCCL_LIB is ") + FAKE_NCCL_OLD +
                           ": it is NCCL 2.27.7, and 2.28.0 or later is needed");
  environment_["MUSTER_NCCL_LIB"] = FAKE_NCCL_LAME;
  EXPECT_EQ(Refused(), std::string("MUSTER_NCCL_LIB is ") + FAKE_NCCL_LAME +
                           ": it has no function ncclCommAbort");
}

// Whoever has a library that is of no use is not told to install one.
TEST_F(LibraryTest, AFileThatCannotBeLoadedIsFoundAndOfNoUse) {
  const std::string path = root_ / "libnccl.so.2";
  std::ofstream(path) << std::string(1000, 'x');
  search_.soname = path;
  auto library = Library::Load(search_);
  EXPECT_EQ(library.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(base::Message(library.status()), HasSubstr(path + ": invalid ELF header"));
  environment_["MUSTER_NCCL_LIB"] = path;
  library = Library::Load(search_);
  EXPECT_EQ(library.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LibraryTest, TakesTheLoadersOwn) {
  search_.soname = FAKE_NCCL_GOOD;
  Wheel("python3.12", FAKE_NCCL_OLD);
  EXPECT_EQ(Refused(), "");
}

TEST_F(LibraryTest, GoesOnPastOneThatWillNotDo) {
  search_.soname = FAKE_NCCL_OLD;
  const std::string wheel = Wheel("python3.12", FAKE_NCCL_GOOD);
  const auto library = Library::Load(search_);
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_EQ((*library)->path(), wheel);
}

TEST_F(LibraryTest, TakesTheWheelOfTheNewestPython) {
  Wheel("python3.9", FAKE_NCCL_OLD);
  const std::string newest = Wheel("python3.12", FAKE_NCCL_GOOD);
  Wheel("python3.10", FAKE_NCCL_OLD);
  const auto library = Library::Load(search_);
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_EQ((*library)->path(), newest);
}

TEST_F(LibraryTest, AsksPythonLast) {
  search_.python = Python(std::string("echo ") + FAKE_NCCL_GOOD);
  const auto library = Library::Load(search_);
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_EQ((*library)->path(), FAKE_NCCL_GOOD);
}

TEST_F(LibraryTest, SaysAllThatWasTried) {
  search_.python = (root_ / "nopython").string();
  const auto none = Library::Load(search_);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(base::Message(none.status()),
            "no usable NCCL (set MUSTER_NCCL_LIB to its full path): libnccl-of-no-machine.so.2: "
            "libnccl-of-no-machine.so.2: cannot open shared object file: No such file or "
            "directory; VIRTUAL_ENV is not set; " +
                search_.python + " cannot run: No such file or directory (errno 2)");
  environment_["VIRTUAL_ENV"] = root_;
  EXPECT_THAT(Refused(), HasSubstr("; " + root_.string() + " has no nvidia-nccl; "));
  const std::string wheel = Wheel("python3.9", FAKE_NCCL_OLD);
  search_.python = Python("exit 1");
  const auto old = Library::Load(search_);
  EXPECT_EQ(old.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(base::Message(old.status()), HasSubstr(wheel + ": it is NCCL 2.27.7"));
  EXPECT_THAT(base::Message(old.status()), HasSubstr(search_.python + " knows no nvidia.nccl"));
}

TEST_F(LibraryTest, APythonThatHangsIsLeft) {
  search_.python = Python("exec sleep 100");
  search_.python_time = std::chrono::milliseconds(50);
  EXPECT_THAT(Refused(), HasSubstr("did not answer in time"));
  // Its answer is whole, and the process goes on.
  search_.python = Python(std::string("echo ") + FAKE_NCCL_GOOD + "; exec sleep 100 >&-");
  EXPECT_THAT(Refused(), HasSubstr("did not answer in time"));
}

TEST_F(LibraryTest, AnAnswerThatIsNoPathIsCalledSo) {
  search_.python = Python("exec head -c 100000 /dev/zero");
  EXPECT_THAT(Refused(), HasSubstr(search_.python + " answered with more than a path"));
}

// Addresses that nobody follows; fake_library.cc has the same for buffers and stream.
void* Address(std::uintptr_t number) { return reinterpret_cast<void*>(number); }
const Stream kStream{Address(0x300)};
const Event kEvent{Address(0x400)};

int cuda_query = 0;
int cuda_last = 0;
CudaFunctions FakeCuda() {
  CudaFunctions cuda;
  cuda.event_record = [](void* event, void* stream) {
    return event == kEvent.value && stream == kStream.value ? 0 : 1;
  };
  cuda.event_query = [](void* event) { return event == kEvent.value ? cuda_query : 1; };
  cuda.stream_wait = [](void* stream, void* event) {
    return event == kEvent.value && stream == kStream.value ? 0 : 1;
  };
  cuda.device_synchronise = [] { return 700; };
  cuda.get_last_error = [] { return cuda_last; };
  cuda.error_string = [](int error) { return error == 700 ? "an illegal address" : "another"; };
  return cuda;
}

// The fake library compares what arrives with the layout of NCCL 2.28.
TEST_F(LibraryTest, CallsTheLibraryAsItsHeaderHasIt) {
  environment_["MUSTER_NCCL_LIB"] = FAKE_NCCL_GOOD;
  const auto library = Library::Load(search_);
  ASSERT_TRUE(library.ok()) << library.status();
  const auto api = (*library)->MakeApi(FakeCuda());
  UniqueId id;
  ASSERT_TRUE(api->GetUniqueId(&id).ok());
  CommHandle comm;
  EXPECT_EQ(api->InitRankNonBlocking({id, 2, 4}, &comm).code, Code::kInvalidArgument);
  EXPECT_FALSE(comm);
  EXPECT_EQ(api->InitRankNonBlocking({id, 3, 4}, &comm).code, Code::kInProgress);
  ASSERT_TRUE(comm);
  EXPECT_EQ(api->AsyncError(comm).code, Code::kRemoteError);
  EXPECT_EQ(api->AsyncError(comm).detail, "what it last warned of");
  EXPECT_EQ(api->AsyncError({}).code, Code::kInvalidArgument);
  EXPECT_TRUE(api->GroupStart().ok());
  Piece piece;
  piece.in = Address(0x100);
  piece.out = Address(0x200);
  piece.elements = 10;
  EXPECT_TRUE(api->AllReduce(comm, kStream, piece).ok());
  EXPECT_EQ(api->AllReduce(comm, {}, piece).code, Code::kInvalidArgument);
  EXPECT_EQ(api->AllReduce({}, kStream, piece).code, Code::kInvalidArgument);
  piece = {comm::ReduceOp::kMax, comm::ElementType::kInt32, piece.in, piece.out, 20};
  EXPECT_TRUE(api->AllReduce(comm, kStream, piece).ok());
  piece = {comm::ReduceOp::kSum, comm::ElementType::kFloat32, piece.in, piece.out, 30};
  EXPECT_EQ(api->AllReduce(comm, kStream, piece).code, Code::kUnknown);
  piece = {comm::ReduceOp::kSum, comm::ElementType::kInt32, piece.in, piece.out, 40, 1};
  EXPECT_TRUE(api->Broadcast(comm, kStream, piece).ok());
  piece.root = 2;
  EXPECT_EQ(api->Broadcast(comm, kStream, piece).code, Code::kInvalidUsage);
  EXPECT_EQ(api->GroupEnd().code, Code::kTimeout);
  EXPECT_EQ(api->Finalize(comm).code, Code::kInProgress);
  EXPECT_EQ(api->Finalize({}).code, Code::kInvalidArgument);
  EXPECT_EQ(api->Destroy(comm).code, Code::kSystemError);
  EXPECT_EQ(api->Destroy({}).code, Code::kInvalidArgument);
  EXPECT_TRUE(api->Abort(comm).ok());
  EXPECT_EQ(api->Abort({}).code, Code::kInvalidArgument);
}

TEST_F(LibraryTest, ReadsCudasAnswers) {
  environment_["MUSTER_NCCL_LIB"] = FAKE_NCCL_GOOD;
  const auto library = Library::Load(search_);
  ASSERT_TRUE(library.ok()) << library.status();
  const auto api = (*library)->MakeApi(FakeCuda());
  EXPECT_TRUE(api->RecordEvent(kEvent, kStream).ok());
  EXPECT_EQ(api->RecordEvent(kEvent, {}).code, Code::kCudaError);
  EXPECT_TRUE(api->StreamWait(kStream, kEvent).ok());
  EXPECT_EQ(api->StreamWait({}, kEvent).code, Code::kCudaError);
  cuda_query = 0;
  EXPECT_EQ(api->QueryEvent(kEvent), EventState::kDone);
  EXPECT_EQ(api->QueryEvent({}), EventState::kFailed);
  cuda_query = 600;
  EXPECT_EQ(api->QueryEvent(kEvent), EventState::kPending);
  cuda_query = 700;
  EXPECT_EQ(api->QueryEvent(kEvent), EventState::kFailed);
  EXPECT_EQ(api->DeviceSynchronise().code, Code::kCudaError);
  EXPECT_EQ(api->DeviceSynchronise().detail, "an illegal address");
  cuda_last = 600;
  EXPECT_TRUE(api->LastDeviceError().ok());
  cuda_last = 700;
  EXPECT_EQ(api->LastDeviceError().code, Code::kCudaError);
}

}  // namespace
}  // namespace muster::nccl
