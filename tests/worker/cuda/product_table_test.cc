// The text of a table of matrix products.
#include "worker/cuda/product_table.h"

#include <gtest/gtest.h>

namespace muster::cuda {
namespace {

ProductTable Some() {
  ProductTable table;
  table.gpu = "NVIDIA H200";
  table.multiprocessors = 132;
  table.cublaslt = 130002;
  table.workspace = 33554432;
  ProductChoice choice;
  choice.shape = {8192, 2304, 768, 768, 2304, 2304, false, false, false, false, Epilogue::kBias};
  choice.algorithm = {{66, 20, 1, 0, 0, 0, 36, 0, 3}};
  table.choices.push_back(choice);
  choice.shape = {768, 2304, 8192, 768, 2304, 2304, true, false, true, false, Epilogue::kNone};
  table.choices.push_back(choice);
  choice.shape.accumulate = true;
  table.choices.push_back(choice);
  choice.shape = {
      8192, 3072, 768, 768, 768, 3072, false, true, false, false, Epilogue::kGeluBackward};
  choice.algorithm.at[8] = 65535;
  table.choices.push_back(choice);
  choice.shape.epilogue = Epilogue::kBiasGelu;
  table.choices.push_back(choice);
  return table;
}

TEST(ProductTableTest, GoesToTextAndBack) {
  const std::string text = ToText(Some());
  EXPECT_NE(
      text.find("\nproduct 8192 2304 768 n 768 n 2304 bf16 2304 bias = 66 20 1 0 0 0 36 0 3\n"),
      std::string::npos)
      << text;
  ProductTable back;
  std::string wrong;
  ASSERT_TRUE(ParseProductTable(text, back, wrong)) << wrong;
  EXPECT_EQ(ToText(back), text);
  for (const ProductChoice& choice : Some().choices) {
    const AlgorithmNumbers* const found = back.Find(choice.shape);
    ASSERT_NE(found, nullptr);
    EXPECT_TRUE(Same(*found, choice.algorithm));
  }
  ProductShape other = Some().choices[0].shape;
  other.b_transposed = true;
  EXPECT_EQ(back.Find(other), nullptr);
}

TEST(ProductTableTest, EveryErrorNamesLineAndWhatIsAllowed) {
  const std::string head = "muster products 1\ngpu A\n";
  const std::string good = "product 16 24 32 n 32 n 24 bf16 24 none = 1 2 3 4 5 6 7 8 9\n";
  struct Bad {
    std::string text, wrong;
  };
  const Bad cases[] = {
      {"", "line 1: it is not \"muster products 1\""},
      {"muster products 2\n", "line 1: it is not \"muster products 1\""},
      {head + "cublas 1\n",
       "line 3: cublas is not allowed: gpu, multiprocessors, cublaslt, workspace or product"},
      {head + "cublaslt\n", "line 3: cublaslt needs one whole number"},
      {head + "cublaslt 13.0\n", "line 3: cublaslt needs one whole number"},
      {head + good + good, "line 4: the product is there twice"},
      {head + "product 16 24 32\n", "line 3: a product has 10 words, then = and 9 numbers"},
      {head + "product 0 24 32 n 32 n 24 bf16 24 none = 1 2 3 4 5 6 7 8 9\n",
       "line 3: 0 is not allowed: a whole number from 1"},
      {head + "product 16 24 32 x 32 n 24 bf16 24 none = 1 2 3 4 5 6 7 8 9\n",
       "line 3: x is not allowed: n or t"},
      {head + "product 16 24 32 n 32 n 24 fp8 24 none = 1 2 3 4 5 6 7 8 9\n",
       "line 3: fp8 is not allowed: bf16, float or float+"},
      {head + "product 16 24 32 n 32 n -1 bf16 24 none = 1 2 3 4 5 6 7 8 9\n",
       "line 3: -1 is not allowed: a whole number from 1"},
      {head + "product 16 24 32 n 32 n 24 bf16 24 relu = 1 2 3 4 5 6 7 8 9\n",
       "line 3: relu is not allowed: none, bias, bias+gelu or gelu-backward"},
      {head + "product 16 24 32 n 32 n 24 bf16 24 none = 1 2 3 4 5 6 7 8 65536\n",
       "line 3: 65536 is not allowed: a whole number from 0 to 65535"},
  };
  for (const Bad& bad : cases) {
    ProductTable table;
    std::string wrong;
    EXPECT_FALSE(ParseProductTable(bad.text, table, wrong)) << bad.text;
    EXPECT_EQ(wrong, bad.wrong);
  }
  ProductTable table;
  std::string wrong;
  EXPECT_TRUE(ParseProductTable(head + "\n# a remark\n" + good, table, wrong)) << wrong;
  EXPECT_EQ(table.choices.size(), 1u);
}

TEST(ProductTableTest, IsForOneGpuAndOneVersion) {
  EXPECT_EQ(WhyNotHere(Some(), Some()), "");
  ProductTable here = Some();
  here.multiprocessors = 114;
  EXPECT_EQ(
      WhyNotHere(Some(), here),
      "it is for \"NVIDIA H200\" of 132 multiprocessors, cuBLASLt 130002 and a workspace of "
      "33554432 bytes; here are \"NVIDIA H200\" of 114 multiprocessors, cuBLASLt 130002 and a "
      "workspace of 33554432 bytes");
  for (std::int64_t ProductTable::* field :
       {&ProductTable::cublaslt, &ProductTable::workspace, &ProductTable::multiprocessors}) {
    ProductTable other = Some();
    ++(other.*field);
    EXPECT_NE(WhyNotHere(Some(), other), "");
  }
}

}  // namespace
}  // namespace muster::cuda
