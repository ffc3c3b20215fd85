// How cuBLASLt is called, with a library in its place that multiplies on the CPU.
#include "worker/cuda/cublaslt.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/worker/cuda/matmul_cases.h"

namespace muster::cuda {
namespace {

void* Address(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

// Memory that starts on 32 bytes and 16 more, the least that is promised.
template <typename T>
class Misplaced {
 public:
  explicit Misplaced(const std::vector<T>& values) : bytes_(values.size() * sizeof(T) + 64) {
    const auto raw = reinterpret_cast<std::uintptr_t>(bytes_.data());
    data_ = reinterpret_cast<T*>(bytes_.data() + (32 - raw % 32) + 16);
    std::copy(values.begin(), values.end(), data_);
    size_ = values.size();
  }
  T* data() { return data_; }
  std::vector<T> Read() const { return std::vector<T>(data_, data_ + size_); }

 private:
  std::vector<unsigned char> bytes_;
  T* data_;
  std::size_t size_;
};

std::vector<float> ToFloats(const std::vector<Bf16>& values) {
  std::vector<float> floats;
  for (const Bf16 value : values) floats.push_back(ToFloat(value));
  return floats;
}

class CublasLtTest : public testing::Test {
 protected:
  std::unique_ptr<Multiplier> Make(const char* library) {
    CublasLtOptions options;
    options.library = library;
    options.workspace = Address(0x4000);
    options.table = table_;
    options.timer = std::move(timer_);
    return MakeCublasLt(std::move(options),
                        {text_.data(), static_cast<std::int32_t>(text_.size())});
  }
  // 0 objects that live, 1 heuristics asked, 2 products, since the library was loaded; 3 and 4 id and
  // tile of the last product's algorithm.
  int Count(int which) {
    void* const library = dlopen(FAKE_CUBLASLT_GOOD, RTLD_NOW);
    const auto count = reinterpret_cast<int (*)(int)>(dlsym(library, "fake_cublaslt_count"));
    const int counted = count(which);
    dlclose(library);
    return counted;
  }
  std::int32_t Run(Multiplier& multiplier, const ProductCase& c, ProductResult& result) {
    Misplaced<Bf16> a(c.a), b(c.b), bias(c.bias), pre(c.pre);
    Misplaced<Bf16> out{std::vector<Bf16>(c.out_size())};
    Misplaced<float> floats(c.before);
    Product p = c.Describe(a.data(), b.data(), bias.data(), pre.data());
    if (c.is_float) {
      p.c_float = floats.data();
    } else {
      p.c = out.data();
    }
    const std::int32_t failed = multiplier.Multiply(
        Address(0x300), p, {text_.data(), static_cast<std::int32_t>(text_.size())});
    result.c = c.is_float ? floats.Read() : ToFloats(out.Read());
    result.pre = ToFloats(pre.Read());
    return failed;
  }
  static ProductCase Case() { return MakeProductCase({16, 24, 32}, false, false, Epilogue::kBias); }
  static ProductShape ShapeOfCase() {
    const ProductCase c = Case();
    Misplaced<Bf16> a(c.a), b(c.b), bias(c.bias), pre(c.pre), out{std::vector<Bf16>(c.out_size())};
    Product p = c.Describe(a.data(), b.data(), bias.data(), pre.data());
    p.c = out.data();
    return ShapeOf(p);
  }
  std::array<char, 256> text_{};
  ProductTable table_;
  std::unique_ptr<ProductTimer> timer_;
};

// So long take the calls, one after the other.
class FixedTimes final : public ProductTimer {
 public:
  explicit FixedTimes(std::vector<double> times) : times_(std::move(times)) {}
  double Milliseconds(void* stream, const std::function<int()>& multiply) override {
    EXPECT_EQ(stream, Address(0x300));
    EXPECT_EQ(multiply(), 0);
    return times_.at(next_++);
  }

 private:
  const std::vector<double> times_;
  std::size_t next_ = 0;
};

TEST_F(CublasLtTest, TakesTheTablesAlgorithmAndAsksForOthers) {
  table_.choices = {{ShapeOfCase(), {{7, 5, 1, 0, 1, 0, 4, 0, 3}}}};
  const auto multiplier = Make(FAKE_CUBLASLT_GOOD);
  ASSERT_NE(multiplier, nullptr) << text_.data();
  const int asked = Count(1);
  ProductResult result;
  ASSERT_EQ(Run(*multiplier, Case(), result), 0) << text_.data();
  Case().Compare(result);
  EXPECT_EQ(Count(1), asked) << "the table has it";
  EXPECT_EQ(Count(3), 7);
  EXPECT_EQ(Count(4), 5);
  const ProductCase other = MakeProductCase({16, 24, 32}, false, false, Epilogue::kNone);
  ASSERT_EQ(Run(*multiplier, other, result), 0) << text_.data();
  other.Compare(result);
  EXPECT_EQ(Count(1), asked + 1);
  EXPECT_EQ(Count(3), 11) << "the first that the heuristic names";
  ProductTable made;
  multiplier->AddChoices(made);
  ASSERT_EQ(made.choices.size(), 2u);
  EXPECT_TRUE(Same(made.choices[0].algorithm, table_.choices[0].algorithm));
}

TEST_F(CublasLtTest, SaysWhichAlgorithmOfTheTableIsRefused) {
  const auto refusal = [&](const AlgorithmNumbers& numbers) {
    table_.choices = {{ShapeOfCase(), numbers}};
    const auto multiplier = Make(FAKE_CUBLASLT_GOOD);
    ProductResult result;
    EXPECT_EQ(Run(*multiplier, Case(), result), 1);
    return std::string(text_.data());
  };
  EXPECT_EQ(refusal({{21, 5}}),
            "the table of matrix products: cuBLASLt refuses its algorithm 21 for m 16, n 24, k 32 "
            "(status 15)");
  EXPECT_THAT(refusal({{7, 99}}), testing::EndsWith("(status 15)")) << "no such tile";
  EXPECT_THAT(refusal({{7, 98}}), testing::EndsWith("(status 15)"))
      << "more workspace than there is";
}

TEST_F(CublasLtTest, ATimedTableHasTheFastestAndIsTakenByTheNext) {
  // The third candidate cannot be made by its numbers and is not timed.
  timer_ = std::make_unique<FixedTimes>(std::vector<double>{3, 1, 2});
  auto multiplier = Make(FAKE_CUBLASLT_GOOD);
  ASSERT_NE(multiplier, nullptr) << text_.data();
  ProductResult result;
  ASSERT_EQ(Run(*multiplier, Case(), result), 0) << text_.data();
  Case().Compare(result);
  EXPECT_EQ(Count(3), 12);
  ProductTable made;
  made.gpu = "some GPU";
  multiplier->AddChoices(made);
  std::string wrong;
  ASSERT_TRUE(ParseProductTable(ToText(made), table_, wrong)) << wrong;
  multiplier = Make(FAKE_CUBLASLT_GOOD);
  ASSERT_EQ(Run(*multiplier, Case(), result), 0) << text_.data();
  Case().Compare(result);
  EXPECT_EQ(Count(3), 12);
  timer_ = std::make_unique<FixedTimes>(std::vector<double>{-1, -1, -1});
  multiplier = Make(FAKE_CUBLASLT_GOOD);
  table_ = {};
  EXPECT_EQ(Run(*multiplier, Case(), result), 1);
  EXPECT_STREQ(text_.data(), "cuBLASLt: no candidate could be timed");
}

TEST_F(CublasLtTest, IsTheProductForAllShapesTransposesAndEpilogues) {
  const auto multiplier = Make(FAKE_CUBLASLT_GOOD);
  ASSERT_NE(multiplier, nullptr) << text_.data();
  for (const ProductCase& c : ProductCases()) {
    ProductResult result;
    ASSERT_EQ(Run(*multiplier, c, result), 0) << c.Name() << ": " << text_.data();
    c.Compare(result);
  }
}

TEST_F(CublasLtTest, AsksOnceForEachShapeAndGivesAllBack) {
  const int before = Count(0);
  const int asked = Count(1), multiplied = Count(2);
  {
    const auto multiplier = Make(FAKE_CUBLASLT_GOOD);
    ASSERT_NE(multiplier, nullptr) << text_.data();
    const ProductCase one = MakeProductCase({16, 24, 32}, false, false, Epilogue::kBiasGelu);
    const ProductCase other = MakeProductCase({16, 24, 32}, false, false, Epilogue::kBias);
    ProductResult result;
    for (int again = 0; again < 3; ++again) {
      ASSERT_EQ(Run(*multiplier, one, result), 0) << text_.data();
      one.Compare(result);
      ASSERT_EQ(Run(*multiplier, other, result), 0) << text_.data();
      other.Compare(result);
    }
    EXPECT_EQ(Count(1) - asked, 2);
    EXPECT_EQ(Count(2) - multiplied, 6);
    EXPECT_GT(Count(0), before);
  }
  EXPECT_EQ(Count(0), before);
}

TEST_F(CublasLtTest, SaysWhichShapeHasNoAlgorithm) {
  const int before = Count(0);
  auto multiplier = Make(FAKE_CUBLASLT_GOOD);
  ASSERT_NE(multiplier, nullptr) << text_.data();
  ProductResult result;
  EXPECT_EQ(Run(*multiplier, MakeProductCase({1, 4104, 8}, false, false, Epilogue::kNone), result),
            1);
  EXPECT_STREQ(text_.data(),
               "cublasLtMatmulAlgoGetHeuristic: no algorithm for m 1, n 4104, k 8 (status 15, 0 "
               "found)");
  multiplier.reset();
  EXPECT_EQ(Count(0), before);
}

TEST_F(CublasLtTest, RefusesABadProductBeforeItIsEnqueued) {
  const auto multiplier = Make(FAKE_CUBLASLT_GOOD);
  ASSERT_NE(multiplier, nullptr) << text_.data();
  const int multiplied = Count(2);
  EXPECT_EQ(multiplier->Multiply(Address(0x300), Product(), {text_.data(), 256}), 1);
  EXPECT_STREQ(text_.data(), "matrix product: each side must be 1 or more");
  EXPECT_EQ(Count(2), multiplied);
}

TEST_F(CublasLtTest, SaysWhyALibraryIsOfNoUse) {
  EXPECT_EQ(Make("libno_such_library.so"), nullptr);
  EXPECT_THAT(text_.data(), testing::StartsWith("cuBLASLt: libno_such_library.so: cannot open"));
  EXPECT_EQ(Make(FAKE_CUBLASLT_OLD), nullptr);
  EXPECT_THAT(text_.data(), testing::EndsWith("has version 120900, 130000 or newer is needed"));
  EXPECT_EQ(Make(FAKE_CUBLASLT_LAME), nullptr);
  EXPECT_THAT(text_.data(), testing::EndsWith("has no function cublasLtMatmulPreferenceDestroy"));
}

}  // namespace
}  // namespace muster::cuda
