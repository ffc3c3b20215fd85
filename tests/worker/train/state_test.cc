// The header of a state that members send each other.
#include "worker/train/state.h"

#include <gtest/gtest.h>

namespace muster::train {
namespace {

TEST(StateHeaderTest, RoundTripsAndRefusesWhatIsNoHeader) {
  const StateHeader header{base::Step(12), 11, {3, -7, 0}};
  auto back = DecodeHeader(EncodeHeader(header));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, header);
  EXPECT_FALSE(DecodeHeader("short").ok());
  std::string bytes = EncodeHeader(header);
  bytes[0] ^= 1;
  EXPECT_FALSE(DecodeHeader(bytes).ok());
  EXPECT_FALSE(DecodeHeader(EncodeHeader(header) + "x").ok());
}

}  // namespace
}  // namespace muster::train
