# The part of the installation that depends on the prefix, which `cmake --install --prefix` may still change.
if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
  set(SLUICE_CONFDIR /etc/sluice)
else()
  set(SLUICE_CONFDIR "${CMAKE_INSTALL_PREFIX}/etc/sluice")
endif()

configure_file("${SLUICE_SOURCE_DIR}/conf/sluice.service.in" "${SLUICE_BINARY_DIR}/sluice.service" @ONLY)
file(INSTALL "${SLUICE_BINARY_DIR}/sluice.service" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")

# Settings that somebody has changed survive an upgrade; the new defaults are among the documents.
if(NOT EXISTS "$ENV{DESTDIR}${SLUICE_CONFDIR}/sluice.yaml")
  file(INSTALL "${SLUICE_SOURCE_DIR}/conf/sluice.yaml" DESTINATION "${SLUICE_CONFDIR}")
endif()
