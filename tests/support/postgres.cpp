#include "tests/support/postgres.hpp"

#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace fastmqttd::testing {
namespace {

static_assert(SIGSTOP == 19 && SIGCONT == 18);

// Where Debian puts it, the newest of them; else where the client programs are.
std::filesystem::path find_programs() {
  const auto is_there = [](const std::filesystem::path& directory) {
    return std::filesystem::exists(directory / "initdb") &&
           std::filesystem::exists(directory / "psql");
  };
  std::filesystem::path newest;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", none))
    if (is_there(entry.path() / "bin")) newest = std::max(newest, entry.path() / "bin");
  if (newest.empty() && is_there("/usr/bin")) newest = "/usr/bin";
  return newest;
}

const std::filesystem::path& programs() {
  static const std::filesystem::path found = find_programs();
  return found;
}

const passwd& its_user() {
  static const passwd* const user = [] {
    const passwd* known = ::getpwnam("postgres");
    return known ? known : ::getpwnam("nobody");
  }();
  if (!user) throw std::runtime_error("there is neither a user postgres nor one nobody");
  return *user;
}

Finished run_well(const std::vector<std::string>& command) {
  Finished done = run({.argv = command});
  if (done.exit != Exit{}) throw std::runtime_error(command[0] + ": " + done.errors);
  return done;
}

}  // namespace

bool Postgres::is_installed() { return !programs().empty(); }

Postgres::Postgres() {
  const auto data = directory_ / "data";
  std::filesystem::create_directory(data);
  give(data);
  run_well(as_its_user({programs() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E",
                        "UTF8", "--locale=C", "--no-sync", "--no-instructions"}));
  const std::string all = read_file(data / "pg_hba.conf");
  write_file(data / "pg_hba.conf", "host all strict_user 127.0.0.1/32 scram-sha-256\n" + all);
}

Postgres::~Postgres() {
  if (process_) signal_all(SIGKILL);
}

void Postgres::give(const std::filesystem::path& directory) const {
  if (::geteuid() != 0) return;
  if (::chown(directory.c_str(), its_user().pw_uid, its_user().pw_gid) != 0)
    throw std::runtime_error("chown " + directory.string());
}

std::vector<std::string> Postgres::as_its_user(std::vector<std::string> command) const {
  if (::geteuid() != 0) return command;
  std::vector<std::string> all = {"setpriv", "--reuid=" + std::to_string(its_user().pw_uid),
                                  "--regid=" + std::to_string(its_user().pw_gid), "--clear-groups",
                                  "--pdeathsig=KILL"};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

void Postgres::start() {
  // What a killed one has left would keep the next one from starting.
  std::filesystem::remove(directory_ / "data/postmaster.pid");
  process_ = std::make_unique<Process>(Command{
      .argv = as_its_user({programs() / "postgres", "-D", directory_ / "data", "-p",
                           std::to_string(port_.number()), "-c", "listen_addresses=127.0.0.1", "-c",
                           "unix_socket_directories=", "-c", "fsync=off", "-c",
                           "shared_buffers=16MB", "-c", "max_connections=20"}),
      .output = directory_ / "log",
      .errors = directory_ / "log"});
  if (!eventually([this] { return answers() || !process_->running(); }) || !process_->running())
    throw std::runtime_error("PostgreSQL does not start:\n" + tail(log()));
}

bool Postgres::answers() const {
  return run({.argv = {programs() / "pg_isready", "-h", "127.0.0.1", "-p",
                       std::to_string(port_.number())}})
             .exit == Exit{};
}

void Postgres::stop() {
  process_->signal(SIGINT);
  if (!process_->wait()) throw std::runtime_error("PostgreSQL does not stop:\n" + tail(log()));
  process_.reset();
}

void Postgres::kill() {
  const std::vector<pid_t> all = processes();
  signal_all(SIGKILL);
  process_->wait();
  // Its children are gone too before another one takes its files over.
  const auto is_gone = [](pid_t one) {
    std::error_code none;
    return std::filesystem::read_symlink("/proc/" + std::to_string(one) + "/exe", none).empty();
  };
  if (!eventually([&] { return std::ranges::all_of(all, is_gone); }))
    throw std::runtime_error("PostgreSQL does not end");
  process_.reset();
}

// The server, and a process for each session and other work.
std::vector<pid_t> Postgres::processes() const {
  std::vector<pid_t> all{process_->pid()};
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream in(entry.path() / "stat");
    std::string field;
    std::getline(in, field, ')');
    pid_t parent = 0;
    in >> field >> parent;
    if (parent == process_->pid()) all.push_back(std::stoi(name));
  }
  return all;
}

void Postgres::signal_all(int number) const {
  for (const pid_t one : processes()) ::kill(one, number);
}

std::string Postgres::target(const std::string& user) const {
  return "host=127.0.0.1 port=" + std::to_string(port_.number()) + " dbname=postgres user=" + user;
}

std::vector<std::string> Postgres::query(const std::string& sql) const {
  return lines_of(
      run_well({programs() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", target(), "-c", sql})
          .output);
}

}  // namespace fastmqttd::testing
