// The double as a program: prints its URL, serves until standard input ends.
//
// usage: kube_api_double
// Lines on standard input are orders: `compact`, `bookmark`, `collect` (one step of the garbage
// collector), `schedule`, `kubelets`, `budgets`, `token TOKEN USERNAME AUDIENCE`. Each is answered by a line.
#include <iostream>
#include <sstream>
#include <string>

#include "operator/runtime/clock.h"
#include "tests/kube/api_double.h"
#include "tests/kube/http_front.h"
#include "tests/kube/players.h"

int main() {
  using namespace muster::kubetest;
  const muster::runtime::RealClock clock;
  ApiDouble api({}, clock);
  auto front = HttpFront::Listen(api);
  if (!front.ok()) {
    std::cerr << muster::base::Message(front.status()) << "\n";
    return 1;
  }
  Players players(api);
  std::cout << (*front)->url() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string order;
    words >> order;
    if (order == "compact") {
      api.Compact();
    } else if (order == "bookmark") {
      api.SendBookmarks();
    } else if (order == "collect") {
      players.Collect();
    } else if (order == "budgets") {
      players.CountBudgets();
    } else if (order == "schedule") {
      players.Schedule();
    } else if (order == "kubelets") {
      players.StepKubelets();
    } else if (order == "token") {
      std::string token;
      TokenOwner owner;
      std::string audience;
      words >> token >> owner.username >> audience;
      owner.audiences = {audience};
      api.AddToken(token, owner);
    } else {
      std::cout << "no such order: " << order << std::endl;
      continue;
    }
    std::cout << "done" << std::endl;
  }
  return 0;
}
