// Where a test may end the process at once, as SIGKILL does: FASTMQTTD_FAULT=NAME:N in the
// environment does it at the Nth pass of the point NAME.  Only in builds with
// FASTMQTTD_FAULT_POINTS; in others a point is nothing.  Any thread.
#pragma once

namespace fastmqttd {

#ifdef FASTMQTTD_FAULT_POINTS
void fault_point(const char* name);
#else
inline void fault_point(const char*) {}
#endif

}  // namespace fastmqttd
