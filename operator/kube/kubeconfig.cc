#include "operator/kube/kubeconfig.h"

#include <algorithm>
#include <string_view>

#include "operator/kube/kubeconfig_fields.h"

namespace muster::kube {
namespace {

using api::Node;

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

absl::Status MergeNamed(const KubeconfigFile& file, const char* list, const char* value,
                        std::map<std::string, Kubeconfig::Named>& into) {
  const Node* entries = FindEntry(file.root, list);
  if (entries == nullptr || entries->kind == Node::Kind::kNull) return absl::OkStatus();
  const std::string where = file.path + ": " + list;
  if (entries->kind != Node::Kind::kList) return base::InvalidArgument(where + " is not a list");
  for (const Node& entry : entries->items) {
    const Node* name = FindEntry(entry, "name");
    if (name == nullptr || name->kind != Node::Kind::kScalar) {
      return base::InvalidArgument(where + ": an entry has no name");
    }
    const Node* node = FindEntry(entry, value);
    // The first file's stands, and so does the first of a file.
    into.emplace(name->text, Kubeconfig::Named{file.path, node == nullptr ? Node() : *node});
  }
  return absl::OkStatus();
}

std::string Known(const std::map<std::string, Kubeconfig::Named>& entries) {
  std::string text;
  for (const auto& [name, entry] : entries) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "there is none" : "there are " + text;
}

absl::StatusOr<const Kubeconfig::Named*> Find(
    const std::map<std::string, Kubeconfig::Named>& entries, std::string_view kind,
    const std::string& name, const std::string& asked_by) {
  const auto it = entries.find(name);
  if (it != entries.end()) return &it->second;
  return base::NotFound(asked_by + " names the " + std::string(kind) + " '" + name +
                        "', which the kubeconfig does not have; " + Known(entries));
}

absl::StatusOr<ClusterEntry> ReadCluster(const Kubeconfig::Named& named, const std::string& name) {
  const KubeconfigFields fields("cluster '" + name + "'", named.node, FolderOf(named.file));
  MUSTER_RETURN_IF_ERROR(fields.CheckMap());
  MUSTER_RETURN_IF_ERROR(fields.Refuse({"proxy-url"}));
  ClusterEntry cluster;
  MUSTER_ASSIGN_OR_RETURN(cluster.server, fields.Text("server"));
  if (cluster.server.empty()) return fields.Wrong("server", "is not set");
  MUSTER_ASSIGN_OR_RETURN(cluster.ca_file, fields.Path("certificate-authority"));
  MUSTER_ASSIGN_OR_RETURN(cluster.ca_pem, fields.Data("certificate-authority-data"));
  if (!cluster.ca_pem.empty()) cluster.ca_file.clear();
  MUSTER_ASSIGN_OR_RETURN(cluster.tls_server_name, fields.Text("tls-server-name"));
  MUSTER_ASSIGN_OR_RETURN(cluster.insecure_skip_tls_verify,
                          fields.Bool("insecure-skip-tls-verify"));
  const bool has_ca = !cluster.ca_file.empty() || !cluster.ca_pem.empty();
  if (cluster.insecure_skip_tls_verify && has_ca) {
    return fields.Wrong("insecure-skip-tls-verify", "is true beside a certificate authority");
  }
  return cluster;
}

absl::Status ReadExec(const KubeconfigFields& user, ExecEntry& exec) {
  const Node* node = user.Find("exec");
  if (node == nullptr || node->kind == Node::Kind::kNull) return absl::OkStatus();
  const KubeconfigFields fields(user.who() + ": exec", *node, user.folder());
  MUSTER_RETURN_IF_ERROR(fields.CheckMap());
  MUSTER_ASSIGN_OR_RETURN(exec.api_version, fields.Text("apiVersion"));
  if (exec.api_version != "client.authentication.k8s.io/v1" &&
      exec.api_version != "client.authentication.k8s.io/v1beta1") {
    return fields.Wrong(
        "apiVersion",
        "is '" + exec.api_version + "'; allowed are client.authentication.k8s.io/v1 and /v1beta1");
  }
  MUSTER_ASSIGN_OR_RETURN(exec.command, fields.Text("command"));
  if (exec.command.empty()) return fields.Wrong("command", "is not set");
  if (exec.command.find('/') != std::string::npos) exec.command = fields.Absolute(exec.command);
  MUSTER_ASSIGN_OR_RETURN(exec.args, fields.Texts("args"));
  MUSTER_ASSIGN_OR_RETURN(exec.env, fields.NamedValues("env"));
  MUSTER_ASSIGN_OR_RETURN(exec.install_hint, fields.Text("installHint"));
  MUSTER_ASSIGN_OR_RETURN(exec.interactive_mode, fields.Text("interactiveMode"));
  // A program that insists on a terminal cannot be served: we run it without one, and bounded.
  if (exec.interactive_mode == "Always") {
    return fields.Wrong("interactiveMode", "is Always, but it is run without a terminal");
  }
  MUSTER_ASSIGN_OR_RETURN(exec.provide_cluster_info, fields.Bool("provideClusterInfo"));
  return absl::OkStatus();
}

absl::StatusOr<UserEntry> ReadUser(const Kubeconfig::Named& named, const std::string& name) {
  const KubeconfigFields fields("user '" + name + "'", named.node, FolderOf(named.file));
  // `user: {}` and `user:` alike: nobody in particular.
  if (named.node.kind == Node::Kind::kNull) return UserEntry();
  MUSTER_RETURN_IF_ERROR(fields.CheckMap());
  MUSTER_RETURN_IF_ERROR(fields.Refuse(
      {"auth-provider", "username", "password", "as", "as-uid", "as-groups", "as-user-extra"}));
  UserEntry user;
  MUSTER_ASSIGN_OR_RETURN(user.certificate_file, fields.Path("client-certificate"));
  MUSTER_ASSIGN_OR_RETURN(user.certificate_pem, fields.Data("client-certificate-data"));
  MUSTER_ASSIGN_OR_RETURN(user.key_file, fields.Path("client-key"));
  MUSTER_ASSIGN_OR_RETURN(user.key_pem, fields.Data("client-key-data"));
  if (!user.certificate_pem.empty()) user.certificate_file.clear();
  if (!user.key_pem.empty()) user.key_file.clear();
  const bool certificate = !user.certificate_file.empty() || !user.certificate_pem.empty();
  const bool key = !user.key_file.empty() || !user.key_pem.empty();
  if (certificate != key) {
    return fields.Wrong(key ? "client-certificate" : "client-key",
                        "is not set beside the other of the pair");
  }
  MUSTER_ASSIGN_OR_RETURN(user.token, fields.Text("token"));
  MUSTER_ASSIGN_OR_RETURN(user.token_file, fields.Path("tokenFile"));
  MUSTER_RETURN_IF_ERROR(ReadExec(fields, user.exec));
  return user;
}

}  // namespace

absl::StatusOr<Kubeconfig> MergeKubeconfigs(const std::vector<KubeconfigFile>& files) {
  Kubeconfig config;
  for (const KubeconfigFile& file : files) {
    if (file.root.kind == Node::Kind::kNull) continue;  // an empty file says nothing
    if (file.root.kind != Node::Kind::kMap) {
      return base::InvalidArgument(file.path + " is not a kubeconfig: it holds no map");
    }
    const Node* current = FindEntry(file.root, "current-context");
    if (config.current_context.empty() && current != nullptr) {
      config.current_context = current->text;
    }
    MUSTER_RETURN_IF_ERROR(MergeNamed(file, "clusters", "cluster", config.clusters));
    MUSTER_RETURN_IF_ERROR(MergeNamed(file, "users", "user", config.users));
    MUSTER_RETURN_IF_ERROR(MergeNamed(file, "contexts", "context", config.contexts));
  }
  return config;
}

absl::StatusOr<KubeconfigChoice> ChooseContext(const Kubeconfig& config,
                                               const KubeconfigOverrides& overrides) {
  KubeconfigChoice choice;
  choice.context = overrides.context.empty() ? config.current_context : overrides.context;
  ContextEntry context;
  if (!choice.context.empty()) {
    const std::string asked_by = overrides.context.empty() ? "current-context" : "--context";
    MUSTER_ASSIGN_OR_RETURN(const Kubeconfig::Named* named,
                            Find(config.contexts, "context", choice.context, asked_by));
    const KubeconfigFields fields("context '" + choice.context + "'", named->node, "");
    MUSTER_RETURN_IF_ERROR(fields.CheckMap());
    MUSTER_ASSIGN_OR_RETURN(context.cluster, fields.Text("cluster"));
    MUSTER_ASSIGN_OR_RETURN(context.user, fields.Text("user"));
    MUSTER_ASSIGN_OR_RETURN(context.ns, fields.Text("namespace"));
  } else if (overrides.cluster.empty()) {
    return base::NotFound("the kubeconfig has no current-context; choose one of its contexts: " +
                          Known(config.contexts));
  }
  const std::string by = "context '" + choice.context + "'";
  choice.cluster_name = overrides.cluster.empty() ? context.cluster : overrides.cluster;
  choice.user_name = overrides.user.empty() ? context.user : overrides.user;
  choice.ns = !overrides.ns.empty() ? overrides.ns : context.ns.empty() ? "default" : context.ns;
  MUSTER_ASSIGN_OR_RETURN(const Kubeconfig::Named* cluster,
                          Find(config.clusters, "cluster", choice.cluster_name,
                               overrides.cluster.empty() ? by : "--cluster"));
  MUSTER_ASSIGN_OR_RETURN(choice.cluster, ReadCluster(*cluster, choice.cluster_name));
  if (!choice.user_name.empty()) {
    MUSTER_ASSIGN_OR_RETURN(
        const Kubeconfig::Named* user,
        Find(config.users, "user", choice.user_name, overrides.user.empty() ? by : "--user"));
    MUSTER_ASSIGN_OR_RETURN(choice.user, ReadUser(*user, choice.user_name));
  }
  return choice;
}

std::vector<std::string> KubeconfigPaths(const std::string& kubeconfig_variable,
                                         const std::string& home) {
  std::vector<std::string> paths;
  std::size_t begin = 0;
  while (begin <= kubeconfig_variable.size()) {
    const std::size_t end =
        std::min(kubeconfig_variable.find(':', begin), kubeconfig_variable.size());
    const std::string path = kubeconfig_variable.substr(begin, end - begin);
    if (!path.empty() && std::find(paths.begin(), paths.end(), path) == paths.end()) {
      paths.push_back(path);
    }
    begin = end + 1;
  }
  if (paths.empty() && !home.empty()) paths.push_back(home + "/.kube/config");
  return paths;
}

}  // namespace muster::kube
