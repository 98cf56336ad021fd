# find_package(fastmqtt) gives the target fastmqtt::handler and fastmqtt_add_handler().
include("${CMAKE_CURRENT_LIST_DIR}/fastmqtt-targets.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/fastmqtt-handler.cmake")
