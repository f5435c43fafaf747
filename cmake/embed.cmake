# sluice_embed(OUT TYPE.FILE...): a C file with the bytes of the files as `www_files` (admin/www_internal.h), each also
# compressed where there is a gzip.  Files that are not there are left out, and looked for again at each build.
find_program(GZIP gzip)

function(sluice_embed out)
  set(types_html "text/html; charset=utf-8")
  set(types_css "text/css; charset=utf-8")
  set(types_js "text/javascript; charset=utf-8")
  set(symbols "")
  set(rows "")
  set(depends "")
  set(i 0)
  foreach(file ${ARGN})
    file(GLOB found CONFIGURE_DEPENDS ${file})
    if(NOT found)
      continue()
    endif()
    get_filename_component(name ${file} NAME)
    get_filename_component(extension ${file} LAST_EXT)
    string(SUBSTRING ${extension} 1 -1 extension)
    set(packed ${CMAKE_CURRENT_BINARY_DIR}/${name}.gz)
    if(GZIP)
      add_custom_command(OUTPUT ${packed} DEPENDS ${file} VERBATIM
        COMMAND sh -c "\"$0\" -9nc \"$1\" >\"$2\"" ${GZIP} ${file} ${packed})
    else()
      set(packed ${file})
    endif()
    string(APPEND symbols "BYTES(www_${i}, \"${file}\")\nBYTES(www_${i}_gz, \"${packed}\")\n")
    string(APPEND rows "    {\"${name}\", \"${types_${extension}}\", www_${i}, www_${i}_end, www_${i}_gz, www_${i}_gz_end},\n")
    list(APPEND depends ${file} ${packed})
    math(EXPR i "${i} + 1")
  endforeach()
  file(CONFIGURE OUTPUT ${out} @ONLY CONTENT "/* Made by cmake/embed.cmake. */
#include \"admin/www_internal.h\"

#define BYTES(name, file)                                                                          \\
    __asm__(\".pushsection .rodata\\n.balign 16\\n.hidden \" #name \"\\n.globl \" #name \"\\n\" #name          \\
            \":\\n.incbin \\\"\" file \"\\\"\\n.hidden \" #name \"_end\\n.globl \" #name \"_end\\n\" #name            \\
            \"_end:\\n.byte 0\\n.popsection\");                                                       \\
    extern const uint8_t name[], name##_end[];

${symbols}
const struct www_file www_files[] = {
${rows}};
const size_t www_file_count = ${i};
")
  set_property(SOURCE ${out} PROPERTY OBJECT_DEPENDS "${depends}")
endfunction()
