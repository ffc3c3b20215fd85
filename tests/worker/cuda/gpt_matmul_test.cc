// Products by the kernels of this project, on the emulator, against sums in double.
#include <cuda_runtime.h>

#include "tests/worker/cuda/matmul_cases.h"
#include "tests/worker/cuda/on_device.h"
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

class CudaMatmulTest : public testing::Test {
 protected:
  ~CudaMatmulTest() override { simt::Configure({}); }
};

// One product on the device; the outputs and what is kept of them.
ProductResult RunOnDevice(const ProductCase& c) {
  OnDevice<Bf16> a(c.a), b(c.b), bias(c.bias), pre(c.pre), out(c.out_size());
  OnDevice<float> floats(c.before);
  Product p = c.Describe(a.data(), b.data(), bias.data(), pre.data());
  if (c.is_float) {
    p.c_float = floats.data();
  } else {
    p.c = out.data();
  }
  char text[256] = "";
  EXPECT_EQ(MakeOwnMultiplier()->Multiply(nullptr, p, {text, sizeof text}), 0) << text;
  ProductResult result;
  result.c = c.is_float ? floats.Read() : FloatAll(out.Read());
  result.pre = FloatAll(pre.Read());
  return result;
}

TEST_F(CudaMatmulTest, IsTheProductForAllShapesTransposesAndEpilogues) {
  for (const ProductCase& c : ProductCases()) c.Compare(RunOnDevice(c));
  EXPECT_EQ(simt::TakeBreaches(), std::vector<std::string>());
}

TEST_F(CudaMatmulTest, HasTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  ProductCase c = MakeProductCase({72, 80, 70}, true, false, Epilogue::kNone);
  std::vector<std::vector<std::uint64_t>> bits;
  for (const simt::Settings& settings : Orders()) {
    simt::Configure(settings);
    bits.push_back(BitsOf(RunOnDevice(c).c));
  }
  EXPECT_EQ(bits[1], bits[0]);
  EXPECT_EQ(bits[2], bits[0]);
}

TEST_F(CudaMatmulTest, RefusesWhatItCannotRead) {
  OnDevice<Bf16> a(256), b(256), c(256);
  Product p;
  p.m = p.n = p.k = 16;
  p.a = {a.data(), 16, false};
  p.b = {b.data(), 16, false};
  p.c = c.data();
  p.stride = 16;
  EXPECT_EQ(CheckProduct(p), nullptr);
  Product wrong = p;
  wrong.a.data = a.data() + 1;
  EXPECT_STREQ(CheckProduct(wrong),
               "a must start on 16 bytes and have rows and a stride of multiples of 8");
  wrong = p;
  wrong.b.stride = 12;
  EXPECT_STREQ(CheckProduct(wrong),
               "b must start on 16 bytes and have rows and a stride of multiples of 8");
  wrong = p;
  wrong.accumulate = true;
  EXPECT_STREQ(CheckProduct(wrong), "only an output of floats accumulates");
  wrong = p;
  wrong.epilogue = Epilogue::kGeluBackward;
  EXPECT_STREQ(CheckProduct(wrong), "the epilogue needs a pre-activation of the output's shape");
  wrong = p;
  wrong.n = 0;
  char text[256] = "";
  EXPECT_EQ(MakeOwnMultiplier()->Multiply(nullptr, wrong, {text, sizeof text}), 1);
  EXPECT_STREQ(text, "matrix product: each side must be 1 or more");
}

}  // namespace
}  // namespace muster::cuda
