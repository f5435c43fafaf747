# sluice_layer(NAME DEPS ... SOURCES ... LIBS ...): one static library for one folder; it may include
# and link only the layers it names (tests/lint/layers.sh checks the includes).
function(sluice_layer name)
  cmake_parse_arguments(L "" "" "DEPS;SOURCES;LIBS" ${ARGN})
  add_library(sluice_${name} STATIC ${L_SOURCES})
  target_include_directories(sluice_${name} PUBLIC ${PROJECT_SOURCE_DIR}/shared ${PROJECT_SOURCE_DIR})
  target_link_libraries(sluice_${name} PRIVATE flags)
  foreach(dep ${L_DEPS})
    target_link_libraries(sluice_${name} PUBLIC sluice_${dep})
  endforeach()
  target_link_libraries(sluice_${name} PUBLIC ${L_LIBS})
endfunction()
