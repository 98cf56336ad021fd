# Installs the configuration directory; run by cmake --install.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(etc /etc/fastmqttd)
else()
  set(etc "${CMAKE_INSTALL_PREFIX}/etc/fastmqttd")
endif()
set(open OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${open})
if(NOT EXISTS "$ENV{DESTDIR}${etc}/fastmqttd.yaml")
  file(INSTALL "${FASTMQTTD_ETC}/fastmqttd.yaml" DESTINATION "${etc}")
endif()
file(INSTALL DESTINATION "${etc}" TYPE DIRECTORY FILES "${FASTMQTTD_ETC}/conf.d"
     DIRECTORY_PERMISSIONS ${open})
file(INSTALL DESTINATION "${etc}/credentials" TYPE DIRECTORY FILES ""
     DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
