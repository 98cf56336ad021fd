// Names the handler when the process ends in its code.
#pragma once

namespace fastmqttd {

// From now on a fatal signal within a handler writes a line with its name to standard error before
// it takes its course, and exit(3) within one becomes status 70, with a line too.  (_exit(2) cannot
// be caught.)  Call it once, from main.
void install_crash_report();

}  // namespace fastmqttd
