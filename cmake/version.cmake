# The version is the git tag; a tree without git (a tarball) says so.
set(SLUICE_VERSION "0.0.0-unknown")
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --tags --always --dirty
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE described
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed EQUAL 0 AND NOT described STREQUAL "")
    set(SLUICE_VERSION "${described}")
  endif()
endif()
