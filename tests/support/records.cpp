#include "tests/support/records.hpp"

#include <algorithm>
#include <ostream>
#include <set>
#include <stdexcept>

#include "tests/support/files.hpp"

namespace fastmqttd::testing {

std::ostream& operator<<(std::ostream& out, const Record& record) {
  return out << record.topic << " '" << record.payload << "' qos " << record.qos << " retain "
             << record.retain << " dup " << record.dup << " attempt " << record.attempt;
}

Records read_records(const std::filesystem::path& file) {
  Records records;
  for (const std::string& line : lines_of(read_file(file))) {
    const std::vector<std::string> parts = split(line, '\t');
    if (parts.size() != 7) throw std::runtime_error(file.string() + " has the line " + line);
    records.push_back({.topic = parts[0],
                       .qos = std::stoi(parts[1]),
                       .retain = parts[2] == "1",
                       .dup = parts[3] == "1",
                       .attempt = std::stoi(parts[4]),
                       .payload = from_hex(parts[5]),
                       .identifiers = parts[6]});
  }
  return records;
}

std::vector<std::string> payloads(const Records& records) {
  std::vector<std::string> texts;
  for (const Record& record : records) texts.push_back(record.payload);
  return texts;
}

std::vector<std::string> distinct(const std::vector<std::string>& texts) {
  std::set<std::string> seen;
  std::vector<std::string> firsts;
  for (const std::string& text : texts)
    if (seen.insert(text).second) firsts.push_back(text);
  return firsts;
}

std::string losses(const std::vector<std::string>& sent, const std::vector<std::string>& got) {
  const std::set<std::string> arrived(got.begin(), got.end());
  std::string missing;
  std::vector<std::string> expected;
  for (const std::string& text : sent) {
    if (arrived.contains(text))
      expected.push_back(text);
    else
      missing += " " + text;
  }
  std::string report = missing.empty() ? "" : "missing:" + missing;
  const std::vector<std::string> firsts = distinct(got);
  const auto [here, there] = std::ranges::mismatch(firsts, expected);
  if (here != firsts.end())
    report += (report.empty() ? "" : "; ") + ("out of order from " + *here + " on");
  return report;
}

}  // namespace fastmqttd::testing
