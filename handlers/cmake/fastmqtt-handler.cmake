# fastmqtt_add_handler(NAME SOURCE...) - builds NAME.so, a handler plugin that exports exactly one
# symbol, fastmqtt_handler_v1.
#
# Hidden visibility alone would leave the symbols of static libraries visible, and RTLD_LOCAL alone
# does not keep two plugins' header-only singletons apart (STB_GNU_UNIQUE); the version script and
# -fno-gnu-unique do.
set(FASTMQTT_VERSION_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/fastmqtt-handler.map")

function(fastmqtt_add_handler name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE fastmqtt::handler)
  set_target_properties(${name} PROPERTIES
    PREFIX "" SUFFIX ".so"
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS "${FASTMQTT_VERSION_SCRIPT}")
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if(CXX IN_LIST languages)
    target_compile_features(${name} PRIVATE cxx_std_20)
  endif()
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  target_link_options(${name} PRIVATE
    "LINKER:--version-script=${FASTMQTT_VERSION_SCRIPT}" LINKER:-z,relro LINKER:-z,now)
  # A sanitizer's own symbols come from the executable: they stay undefined in the plugin.
  get_directory_property(link_options LINK_OPTIONS)
  if(NOT "${CMAKE_CXX_FLAGS} ${CMAKE_MODULE_LINKER_FLAGS} ${link_options}" MATCHES "-fsanitize")
    target_link_options(${name} PRIVATE LINKER:-z,defs)
  endif()
endfunction()
