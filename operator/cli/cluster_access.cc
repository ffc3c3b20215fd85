#include "operator/cli/cluster_access.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "operator/cli/yaml_node.h"
#include "operator/kube/kubeconfig.h"

namespace muster::cli {
namespace {

std::string Variable(const kube::GetEnv& get, const char* name) {
  const char* value = get(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<kube::Kubeconfig> ReadKubeconfigs(const std::vector<std::string>& paths,
                                                 const ReadText& read, bool must_exist) {
  std::vector<kube::KubeconfigFile> files;
  for (const std::string& path : paths) {
    auto text = read(path);
    // Of several files of KUBECONFIG some may be missing, as for kubectl.
    if (text.status().code() == absl::StatusCode::kNotFound && !must_exist) continue;
    MUSTER_RETURN_IF_ERROR(text.status());
    YamlDocument document = ParseYaml(*text);
    if (document.error) {
      return base::InvalidArgument("kubeconfig " + path + ":" +
                                   std::to_string(document.error->line) + ": " +
                                   document.error->sentence);
    }
    files.push_back({path, std::move(document.root)});
  }
  return kube::MergeKubeconfigs(files);
}

}  // namespace

absl::StatusOr<std::string> ReadFileText(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    const std::string why = "cannot read " + path + ": " + std::strerror(errno);
    return errno == ENOENT ? base::NotFound(why) : base::Unavailable(why);
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!S_ISREG(info.st_mode) || !(text << file.rdbuf())) {
    return base::Unavailable("cannot read " + path + ": it is no readable file");
  }
  return text.str();
}

absl::StatusOr<kube::ClusterConfig> FindCluster(const ClusterFlags& flags, const kube::GetEnv& get,
                                                const ReadText& read, const runtime::Clock& clock) {
  const bool named = !flags.kubeconfig.empty();
  const auto paths =
      named ? std::vector<std::string>{flags.kubeconfig}
            : kube::KubeconfigPaths(Variable(get, "KUBECONFIG"), Variable(get, "HOME"));
  MUSTER_ASSIGN_OR_RETURN(const kube::Kubeconfig config, ReadKubeconfigs(paths, read, named));
  if (config.contexts.empty() && flags.context.empty() && !named) {
    if (get("KUBERNETES_SERVICE_HOST") != nullptr) {
      MUSTER_ASSIGN_OR_RETURN(kube::ClusterConfig in_cluster, kube::InClusterConfig(get, clock));
      if (!flags.ns.empty()) in_cluster.ns = flags.ns;
      return in_cluster;
    }
    std::string looked;
    for (const std::string& path : paths) looked += (looked.empty() ? "" : ", ") + path;
    return base::NotFound("no kubeconfig: there is no cluster in " +
                          (looked.empty() ? "any file" : looked) +
                          "; name one with --kubeconfig or KUBECONFIG");
  }
  MUSTER_ASSIGN_OR_RETURN(const kube::KubeconfigChoice choice,
                          kube::ChooseContext(config, {flags.context, "", "", flags.ns}));
  return kube::ConfigFromChoice(choice, clock);
}

}  // namespace muster::cli
